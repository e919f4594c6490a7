-- What the forge keeps beside git: git knows commits and branches, these records know who wanted what with them.
-- A repository is known by the real path of its folder. Times are microseconds since 1970, UTC.

CREATE TABLE repositories (
    path        TEXT    PRIMARY KEY,
    -- only ever grows, so no number is used twice
    next_number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pull_requests (
    repository    TEXT    NOT NULL REFERENCES repositories,
    number        INTEGER NOT NULL,
    title         TEXT    NOT NULL,
    body          TEXT    NOT NULL,
    head_branch   TEXT    NOT NULL,
    base_branch   TEXT    NOT NULL,
    -- both branches as last seen
    head          TEXT    NOT NULL,
    base          TEXT    NOT NULL,
    -- the last head that was seen to have commits which the base branch had not
    ahead         TEXT    NOT NULL,
    head_at       INTEGER NOT NULL,
    opened_at     INTEGER NOT NULL,
    draft         INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('open', 'merged', 'closed')),
    merged_commit TEXT,
    PRIMARY KEY (repository, number),
    CHECK ((state = 'merged') = (merged_commit IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX one_open_per_branch ON pull_requests (repository, head_branch) WHERE state = 'open';

-- Squashed commits that were about to be put on the base branch. Written before the branch is moved: if one of them is
-- found there, that pull request is merged, whatever happened before it could be recorded.
CREATE TABLE merge_attempts (
    repository TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    commit_id  TEXT    NOT NULL,
    PRIMARY KEY (repository, number, commit_id),
    FOREIGN KEY (repository, number) REFERENCES pull_requests
) STRICT, WITHOUT ROWID;

CREATE TABLE reviews (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    reviewer   TEXT    NOT NULL,
    verdict    TEXT    NOT NULL,
    commit_id  TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    comments   TEXT    NOT NULL, -- JSON
    at         INTEGER NOT NULL,
    FOREIGN KEY (repository, number) REFERENCES pull_requests
) STRICT;

CREATE INDEX reviews_of_pull_request ON reviews (repository, number);

CREATE TABLE comments (
    repository TEXT    NOT NULL,
    number     INTEGER NOT NULL,
    marker     TEXT    NOT NULL,
    body       TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (repository, number, marker),
    FOREIGN KEY (repository, number) REFERENCES pull_requests
) STRICT, WITHOUT ROWID;

-- How a command judged a commit. Another command is another check.
CREATE TABLE checks (
    repository TEXT    NOT NULL,
    commit_id  TEXT    NOT NULL,
    command    TEXT    NOT NULL,
    conclusion TEXT    NOT NULL, -- success, failure, timed_out
    exit       TEXT    NOT NULL, -- in words
    log_tail   TEXT    NOT NULL,
    ended_at   INTEGER NOT NULL,
    PRIMARY KEY (repository, commit_id, command)
) STRICT, WITHOUT ROWID;
