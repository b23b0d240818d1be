package main

import (
	"fmt"
	"strings"
	"time"

	"gatehouse/store"
)

// bare and ogen run the store's own statements (store/statements.go), and these. pgx prepares each statement once a
// connection, here as there.

const (
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
	pgbenchGetUser         = script(store.SelectUser, someUser)
	pgbenchGetOrganisation = script(store.SelectOrganisation, someOrganisation)
	pgbenchAllowReset      = script(store.SetResetPassword, someUser, "true")
	pgbenchCreateUser      = script(store.InsertUser, `'bench' || :new`, someOrganisation, `:new || '@rivermouth.example'`,
		`:new || '@rivermouth.example'`, `'Ines'`, `'Okoro'`, `true`, `'benchbenchben' || :new`, `'{"IsAdmin": "admin"}'`, `''`, `0`, `now()`)
	pgbenchSignOn = script(store.InsertNonce, `sha256((:new || 'nonce')::bytea)`, someOrganisation, `'ines@rivermouth.example'`, `false`,
		`'{"ForSection":"dashboard","EmailAddress":"ines@rivermouth.example","DisplayName":"Ines Okoro","GroupID":""}'`,
		`now() + interval '60 seconds'`)
)
