-- A workspace that takes runs has its place among those of its repository to itself. What two replicas may have put in
-- one place while nothing kept them from it moves behind the others.
ALTER TABLE workspaces ADD COLUMN takes_runs boolean;
UPDATE workspaces SET takes_runs = body ~ '"state":\{"state":"(creating|ready)"';
ALTER TABLE workspaces ALTER COLUMN takes_runs SET NOT NULL;
UPDATE workspaces SET ordinal = moved.ordinal,
    body = regexp_replace(body, '"ordinal":\d+', '"ordinal":' || moved.ordinal)
FROM (
    SELECT id, last + row_number() OVER (PARTITION BY repo ORDER BY id) AS ordinal
    FROM (
        SELECT id, repo, takes_runs, row_number() OVER (PARTITION BY repo, ordinal, takes_runs ORDER BY id) AS nth,
            max(ordinal) OVER (PARTITION BY repo) AS last
        FROM workspaces
    ) AS placed WHERE takes_runs AND nth > 1
) AS moved
WHERE workspaces.id = moved.id;
CREATE UNIQUE INDEX workspaces_by_place ON workspaces (repo, ordinal) WHERE takes_runs;

-- A log is written in batches, and a batch is read and removed as a whole: one row each, from its first entry to its
-- last. The body is a byte that says how, then the entries as lines of JSON: 0 as they are, 1 packed by LZ4 behind their
-- length.
CREATE TABLE log_batches (
    task  uuid   NOT NULL,
    run   bigint NOT NULL, -- the run's number in its task
    first bigint NOT NULL,
    last  bigint NOT NULL,
    body  bytea  NOT NULL,
    PRIMARY KEY (task, run, first)
);
CREATE UNIQUE INDEX log_batches_by_end ON log_batches (task, run, last);
ALTER TABLE log_batches ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO log_batches (task, run, first, last, body)
SELECT task, run, seq, seq, '\x00'::bytea || convert_to(body, 'UTF8') FROM log;
DROP TABLE log;

-- When a run ended, to find those whose log is old; log_removed is no part of the record.
ALTER TABLE runs ADD COLUMN ended_at bigint;
ALTER TABLE runs ADD COLUMN log_removed boolean NOT NULL DEFAULT false;
UPDATE runs SET ended_at = 1000000 * extract(epoch FROM substring(
    body FROM '"phase":\{"phase":"ended".*"at":"([0-9T:.+-]+Z?)"\},"workspace":'
)::timestamptz) WHERE NOT live;
CREATE INDEX runs_with_log_by_end ON runs (ended_at, id) WHERE ended_at IS NOT NULL AND NOT log_removed;

-- The order of lines is that within their task: one index less to keep.
ALTER TABLE audit DROP CONSTRAINT audit_pkey;
DROP INDEX audit_by_task;
ALTER TABLE audit ADD PRIMARY KEY (task, n);
