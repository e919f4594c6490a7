-- Which process checks a commit, where several share the forge. One that is gone loses its claims when they end.

CREATE TABLE check_claims (
    repository TEXT    NOT NULL,
    commit_id  TEXT    NOT NULL,
    command    TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    until      INTEGER NOT NULL,
    PRIMARY KEY (repository, commit_id, command)
) STRICT, WITHOUT ROWID;
