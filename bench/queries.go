package main

import (
	"fmt"
	"time"
)

// The SQL of store/, which bare and ogen run too; when the store's changes, so must this. pgx prepares each statement
// once a connection, here as there.

const userColumns = `
	id, coalesce(org_id, '') AS org_id, email_address, first_name, last_name, active, access_key, user_permissions,
	group_id, password_max_days, password_updated, last_login_date, created_at`

const (
	selectUser = `SELECT` + userColumns + ` FROM users WHERE id = $1`

	updateReset = `
		UPDATE users SET user_permissions = CASE
			WHEN $2::boolean THEN user_permissions || '{"ResetPassword": "admin"}'
			ELSE user_permissions - 'ResetPassword' END
		WHERE id = $1
		RETURNING` + userColumns

	insertUser = `
		INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
			user_permissions, group_id, password_max_days, created_at)
		VALUES ($1, nullif($2::text, ''), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		RETURNING` + userColumns

	selectOrganisation = `SELECT id, document FROM organisations WHERE id = $1`

	insertNonce = `
		WITH swept AS (DELETE FROM sso_nonces WHERE expires_at < $1)
		INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES ($2, $3, $4, $5, $6, $7)`

	selectOrganisations = `SELECT id, document FROM organisations ORDER BY position`

	// upsertAPIs takes a batch of rows from arrays.
	upsertAPIs = `
		INSERT INTO apis (api_id, id, org_id, active, document)
		SELECT api_id, id, org_id, active, document::json
		FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::text[]) AS input (api_id, id, org_id, active, document)
		ON CONFLICT (api_id) DO UPDATE SET id = excluded.id, active = excluded.active, document = excluded.document
			WHERE apis.org_id = excluded.org_id`
)

// nonceLife is how long a nonce is good for, as in store/.
const nonceLife = 60 * time.Second

// The same statements for pgbench, which puts a number where a server puts an id.

// drawUser draws the number of one of so many users.
func drawUser(users int) string {
	return fmt.Sprintf("\\set n random(%d, %d)\n", firstNumber, firstNumber+users-1)
}

const (
	drawOrganisation = "\\set o random(100000000, 100000099)\n"
	// drawNew draws a number that nobody had: of 19 digits, hardly two in a run are the same.
	drawNew = "\\set new random(1000000000000000000, 9000000000000000000)\n"

	pgbenchGetUser = `SELECT` + userColumns + ` FROM users WHERE id = '` + userPrefix + `' || :n;`

	pgbenchGetOrganisation = `SELECT id, document FROM organisations WHERE id = '` + organisationPrefix + `' || :o;`

	pgbenchAllowReset = `
		UPDATE users SET user_permissions = CASE
			WHEN true THEN user_permissions || '{"ResetPassword": "admin"}'
			ELSE user_permissions - 'ResetPassword' END
		WHERE id = '` + userPrefix + `' || :n
		RETURNING` + userColumns + `;`

	pgbenchCreateUser = `
		INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
			user_permissions, group_id, password_max_days, created_at)
		VALUES ('bench' || :new, '` + organisationPrefix + `' || :o, :new || '@rivermouth.example', :new || '@rivermouth.example',
			'Ines', 'Okoro', true, 'benchbenchben' || :new, '{"IsAdmin": "admin"}', '', 0, now())
		RETURNING` + userColumns + `;`

	pgbenchSignOn = `
		WITH swept AS (DELETE FROM sso_nonces WHERE expires_at < now())
		INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES (sha256((:new || 'nonce')::bytea), '` + organisationPrefix + `' || :o, 'ines@rivermouth.example', false,
			'{"ForSection":"dashboard","EmailAddress":"ines@rivermouth.example","DisplayName":"Ines Okoro","GroupID":""}',
			now() + interval '60 seconds');`
)
