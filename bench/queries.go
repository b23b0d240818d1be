package main

import (
	"fmt"
	"strings"
	"time"
)

// What bare and ogen run: copies of the store's statements. pgx prepares each statement once a connection, here as there.
const (
	selectUser = `SELECT` + userColumns + ` FROM users WHERE id = $1`

	// setResetPassword takes the user's id, and whether to grant the permission or to revoke it.
	setResetPassword = `
		UPDATE users SET user_permissions = CASE
			WHEN $2::boolean THEN user_permissions || '{"ResetPassword": "admin"}'
			ELSE user_permissions - 'ResetPassword' END
		WHERE id = $1 RETURNING` + userColumns

	insertUser = `
		INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
			user_permissions, group_id, password_max_days, created_at)
		VALUES ($1, nullif($2::text, ''), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		RETURNING` + userColumns

	userColumns = `
		id, coalesce(org_id, '') AS org_id, email_address, first_name, last_name, active, access_key, user_permissions,
		group_id, password_max_days, password_updated, last_login_date, created_at`

	selectOrganisation = `SELECT id, document FROM organisations WHERE id = $1`

	insertNonce = `
		INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6)`

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

	someUser         = `'` + userPrefix + `' || :n`
	someOrganisation = `'` + organisationPrefix + `' || :o`
)

// script is a statement with values in the place of its parameters.
func script(statement string, values ...string) string {
	var pairs []string
	for i := len(values); i > 0; i-- { // $10 before $1
		pairs = append(pairs, fmt.Sprintf("$%d", i), values[i-1])
	}
	return strings.NewReplacer(pairs...).Replace(statement) + ";"
}

// What pgbench runs.
var (
	pgbenchGetUser         = script(selectUser, someUser)
	pgbenchGetOrganisation = script(selectOrganisation, someOrganisation)
	pgbenchAllowReset      = script(setResetPassword, someUser, "true")
	pgbenchCreateUser      = script(insertUser, `'bench' || :new`, someOrganisation, `:new || '@rivermouth.example'`,
		`:new || '@rivermouth.example'`, `'Ines'`, `'Okoro'`, `true`, `'benchbenchben' || :new`, `'{"IsAdmin": "admin"}'`, `''`, `0`, `now()`)
	pgbenchSignOn = script(insertNonce, `sha256((:new || 'nonce')::bytea)`, someOrganisation, `'ines@rivermouth.example'`, `false`,
		`'{"ForSection":"dashboard","EmailAddress":"ines@rivermouth.example","DisplayName":"Ines Okoro","GroupID":""}'`,
		`now() + interval '60 seconds'`)
)
