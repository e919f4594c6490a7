-- Accounts that no run may use for now. The id is a hash of the account's name; ends_at is the largest integer where
-- only a person ends the pause.
CREATE TABLE pauses (
    id      BLOB    NOT NULL,
    ends_at INTEGER NOT NULL,
    body    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX pauses_by_id ON pauses (id);
