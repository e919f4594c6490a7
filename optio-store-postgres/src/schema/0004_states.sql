-- Each change of a task's state changes each index that holds it, so there is one, which finds the tasks of a repository
-- state by state, and those in a state repository by repository.
CREATE INDEX tasks_by_state_and_repo ON tasks (state, repo, id);
DROP INDEX tasks_by_state;
DROP INDEX tasks_by_repo;
DROP INDEX tasks_by_repo_and_state;
