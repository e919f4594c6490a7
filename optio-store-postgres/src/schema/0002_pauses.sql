-- Accounts that no run may use for now. The id is a hash of the account's name; ends_at is the largest bigint where only
-- a person ends the pause.
CREATE TABLE pauses (
    id      uuid   PRIMARY KEY,
    ends_at bigint NOT NULL,
    body    text   NOT NULL
);
