-- A workspace that takes runs has its place among those of its repository to itself. What stands in one place with
-- another, while nothing kept it from that, moves behind the others.
ALTER TABLE workspaces ADD COLUMN takes_runs INTEGER NOT NULL DEFAULT 0;
UPDATE workspaces SET takes_runs = json_extract(body, '$.state.state') IN ('creating', 'ready');
UPDATE workspaces SET ordinal = moved.ordinal, body = json_set(body, '$.ordinal', moved.ordinal)
FROM (
    SELECT id, last + row_number() OVER (PARTITION BY repo ORDER BY id) AS ordinal
    FROM (
        SELECT id, repo, takes_runs, row_number() OVER (PARTITION BY repo, ordinal, takes_runs ORDER BY id) AS nth,
            max(ordinal) OVER (PARTITION BY repo) AS last
        FROM workspaces
    ) WHERE takes_runs = 1 AND nth > 1
) AS moved
WHERE workspaces.id = moved.id;
CREATE UNIQUE INDEX workspaces_by_place ON workspaces (repo, ordinal) WHERE takes_runs = 1;

-- When a run ended, to find those whose log is old; log_removed is no part of the record.
ALTER TABLE runs ADD COLUMN ended_at INTEGER;
ALTER TABLE runs ADD COLUMN log_removed INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET ended_at = ended.seconds * 1000000 + ended.micros
FROM (
    SELECT id, CAST(strftime('%s', at) AS INTEGER) AS seconds,
        CASE instr(at, '.') WHEN 0 THEN 0
            ELSE CAST(substr(rtrim(substr(at, instr(at, '.') + 1), 'Z') || '000000', 1, 6) AS INTEGER) END AS micros
    FROM (SELECT id, json_extract(body, '$.phase.at') AS at FROM runs WHERE live = 0)
) AS ended
WHERE runs.id = ended.id;
CREATE INDEX runs_with_log_by_end ON runs (ended_at, id) WHERE ended_at IS NOT NULL AND log_removed = 0;
