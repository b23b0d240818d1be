-- What the audit log has of authenticated callers, for GET /api/audit-logs: requests that may have changed something, and
-- those that were refused to. Rows are written in batches, and deleted by age and number (store/audit_events.go). They
-- outlast what they are about: no foreign key refers to it.
CREATE TABLE audit_events (
    position  bigint GENERATED ALWAYS AS IDENTITY,
    at        timestamptz NOT NULL,
    req_id    text NOT NULL,
    ip        text NOT NULL,
    who       text NOT NULL,       -- the kind of caller: user, admin_secret, node_secret
    actor     text NOT NULL,       -- the caller: a user's e-mail address or ID, or who
    user_id   text NOT NULL,       -- '' for callers that are no users
    org_id    text NOT NULL,       -- the caller's organisation; '' for super users and callers that are no users
    action    text NOT NULL,       -- the ID of the operation
    object    text NOT NULL,       -- the kind of the object
    object_id text NOT NULL,
    outcome   text NOT NULL,
    status    integer NOT NULL,
    method    text NOT NULL,
    url       text NOT NULL,       -- the path, with fingerprints in place of keys
    details   json NOT NULL,       -- what else the line of the audit log has
    CONSTRAINT audit_events_pkey PRIMARY KEY (position)
);
-- Lists are newest first.
CREATE INDEX audit_events_at_idx ON audit_events (at DESC, position);
CREATE INDEX audit_events_org_id_idx ON audit_events (org_id, at DESC, position);
-- What a caller has done, what was done to an object, from an address, by an operation. Other filters read the events of
-- an organisation, unless they are about what is rare: an index for each would cost every write more.
CREATE INDEX audit_events_actor_idx ON audit_events (lower(actor), at DESC, position);
CREATE INDEX audit_events_object_id_idx ON audit_events (object_id, at DESC, position);
CREATE INDEX audit_events_ip_idx ON audit_events (ip, at DESC, position);
CREATE INDEX audit_events_action_idx ON audit_events (action, at DESC, position);
CREATE INDEX audit_events_outcome_idx ON audit_events (outcome, at DESC, position) WHERE outcome <> 'ok';
CREATE INDEX audit_events_status_idx ON audit_events (status, at DESC, position) WHERE status <> 200;
