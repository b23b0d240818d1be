-- The _id of a policy is stored in lower case, as gateways write it: to them, two that differ in case only are one
-- policy. The document stays as it came. A row whose _id in lower case another policy has stays as it is.
UPDATE policies SET id = lower(id), policy_id = CASE WHEN policy_id = id THEN lower(id) ELSE policy_id END
WHERE id <> lower(id) AND NOT EXISTS (
    SELECT FROM policies AS other
    WHERE other.position <> policies.position
        AND (lower(other.id) = lower(policies.id) OR policies.policy_id = policies.id AND other.policy_id = lower(policies.id)));

-- The same for the IDs of APIs in the original's database.
UPDATE apis SET id = lower(id)
WHERE id <> lower(id) AND NOT EXISTS (
    SELECT FROM apis AS other WHERE other.position <> apis.position AND lower(other.id) = lower(apis.id));

-- The api_ids that APIs have had, with the organisation that had them last. Keys that name an api_id in their access
-- rights are stored in gateways, and outlive the API: with an api_id that another organisation had, they would open the
-- API of the new one. There is no foreign key: the row of an organisation that is deleted protects nobody.
CREATE TABLE released_apis (
    api_id text NOT NULL,
    org_id text NOT NULL,
    CONSTRAINT released_apis_pkey PRIMARY KEY (api_id)
);
