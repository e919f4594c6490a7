-- One row for each connection that writes: the number of its last transaction that is stored. It tells what has become of
-- one whose answer was lost.
CREATE TABLE writers (
    id    uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    batch bigint      NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
