-- Functions that catch errors begin subtransactions, which parallel workers cannot: an index or a list of many documents
-- failed with "cannot start subtransactions during a parallel operation", also when pg_restore made the index.
ALTER FUNCTION api_search(json) PARALLEL UNSAFE;
ALTER FUNCTION sortable_time(text) PARALLEL UNSAFE;
ALTER FUNCTION policy_active(json) PARALLEL UNSAFE;
ALTER FUNCTION api_loop_name(jsonb, json) PARALLEL UNSAFE;
ALTER FUNCTION api_route(json) PARALLEL UNSAFE;
