-- The first schema. Each table holds a record as JSON in `body`, and beside it the columns that queries search by.
-- Ids are the 16 bytes of their UUID, moments are microseconds since 1970 in UTC.
PRAGMA application_id = 0x6f707469; -- "opti": tells our files from those of other programs

CREATE TABLE tasks (
    id            BLOB    NOT NULL,
    version       INTEGER NOT NULL,
    state         TEXT    NOT NULL,
    repo          BLOB    NOT NULL,
    parent        BLOB,
    ticket_source TEXT,
    ticket_key    TEXT,
    depends_on    TEXT, -- a JSON array of ids in hex, NULL if there are none
    body          TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX tasks_by_id ON tasks (id);
CREATE INDEX tasks_by_state ON tasks (state, id);
CREATE INDEX tasks_by_repo ON tasks (repo, id);
CREATE INDEX tasks_by_parent ON tasks (parent, id) WHERE parent IS NOT NULL;
CREATE INDEX tasks_by_ticket ON tasks (ticket_source, ticket_key, id) WHERE ticket_key IS NOT NULL;

-- Follows tasks.depends_on by the triggers below; nothing else writes it.
CREATE TABLE task_dependencies (
    depends_on BLOB NOT NULL,
    task       BLOB NOT NULL,
    PRIMARY KEY (depends_on, task)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_dependencies_by_task ON task_dependencies (task);

CREATE TRIGGER task_dependencies_of_new AFTER INSERT ON tasks WHEN new.depends_on IS NOT NULL
BEGIN
    INSERT OR IGNORE INTO task_dependencies (depends_on, task)
    SELECT unhex(value), new.id FROM json_each(new.depends_on);
END;
CREATE TRIGGER task_dependencies_of_changed AFTER UPDATE ON tasks WHEN new.depends_on IS NOT old.depends_on
BEGIN
    DELETE FROM task_dependencies WHERE task = old.id;
    INSERT OR IGNORE INTO task_dependencies (depends_on, task)
    SELECT unhex(value), new.id FROM json_each(new.depends_on);
END;

CREATE TABLE runs (
    id          BLOB    NOT NULL,
    task        BLOB    NOT NULL,
    repo        BLOB    NOT NULL,
    epoch       INTEGER NOT NULL,
    live        INTEGER NOT NULL,
    workspace   BLOB    NOT NULL,
    started_at  INTEGER NOT NULL,
    cost_micros INTEGER NOT NULL,
    body        TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX runs_by_id ON runs (id);
CREATE INDEX runs_by_task ON runs (task, id);
CREATE INDEX runs_by_workspace ON runs (workspace, id);
CREATE INDEX runs_live ON runs (id) WHERE live = 1;
CREATE INDEX runs_by_start ON runs (started_at, repo, cost_micros);

CREATE TABLE repos (
    id       BLOB    NOT NULL,
    version  INTEGER NOT NULL,
    identity TEXT    NOT NULL,
    body     TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX repos_by_id ON repos (id);
CREATE UNIQUE INDEX repos_by_identity ON repos (identity);

CREATE TABLE workspaces (
    id      BLOB    NOT NULL,
    version INTEGER NOT NULL,
    repo    BLOB    NOT NULL,
    ordinal INTEGER NOT NULL,
    body    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX workspaces_by_id ON workspaces (id);
CREATE INDEX workspaces_by_repo ON workspaces (repo, ordinal, id);

CREATE TABLE schedules (
    id      BLOB    NOT NULL,
    version INTEGER NOT NULL,
    body    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX schedules_by_id ON schedules (id);

CREATE TABLE webhooks (
    id      BLOB    NOT NULL,
    version INTEGER NOT NULL,
    body    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX webhooks_by_id ON webhooks (id);

CREATE TABLE audit (
    n    INTEGER PRIMARY KEY,
    task BLOB NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_task ON audit (task, n);

CREATE TABLE log (
    task BLOB    NOT NULL,
    run  INTEGER NOT NULL, -- the run's number in its task
    seq  INTEGER NOT NULL,
    body TEXT    NOT NULL,
    PRIMARY KEY (task, run, seq)
) STRICT, WITHOUT ROWID;

-- not_before, due_at and attempts are the truth here: the body keeps what was first written.
CREATE TABLE outbox (
    id         BLOB    NOT NULL,
    not_before INTEGER NOT NULL,
    due_at     INTEGER NOT NULL, -- not_before, or the end of a claim
    attempts   INTEGER NOT NULL,
    body       TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX outbox_by_id ON outbox (id);
CREATE INDEX outbox_by_age ON outbox (id, due_at);

CREATE TABLE leases (
    name   TEXT    NOT NULL PRIMARY KEY,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
