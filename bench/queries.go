package main

import (
	"fmt"
	"strings"

	"gatehouse/bench/alternative"
)

// The statements of the servers as scripts for pgbench, which generates IDs from random numbers.

// drawUser returns a command of pgbench that draws the number of a user.
func drawUser(users int) string {
	return fmt.Sprintf("\\set n random(%d, %d)\n", firstNumber, firstNumber+users-1)
}

const (
	drawOrganisation = "\\set o random(100000000, 100000099)\n"
	// drawNew draws a number of 19 digits, so that a number hardly ever occurs twice in a run.
	drawNew = "\\set new random(1000000000000000000, 9000000000000000000)\n"

	someUser         = `'` + userPrefix + `' || :n`
	someOrganisation = `'` + organisationPrefix + `' || :o`
)

// script returns a statement with values in place of its parameters.
func script(statement string, values ...string) string {
	var pairs []string
	for i := len(values); i > 0; i-- { // $10 before $1
		pairs = append(pairs, fmt.Sprintf("$%d", i), values[i-1])
	}
	return strings.NewReplacer(pairs...).Replace(statement) + ";"
}

// The scripts of pgbench.
var (
	pgbenchGetUser         = script(alternative.SelectUser, someUser)
	pgbenchGetOrganisation = script(alternative.SelectOrganisation, someOrganisation)
	pgbenchAllowReset      = script(alternative.SetResetPassword, someUser, "true")
	pgbenchCreateUser      = script(alternative.InsertUser, `'bench' || :new`, someOrganisation,
		`:new || '@rivermouth.example'`, `:new || '@rivermouth.example'`, `'Ines'`, `'Okoro'`, `true`,
		`'benchbenchben' || :new`, `'{"IsAdmin": "admin"}'`, `''`, `0`, `now()`)
	pgbenchSignOn = script(alternative.InsertNonce, `sha256((:new || 'nonce')::bytea)`, someOrganisation,
		`'ines@rivermouth.example'`, `false`,
		`'{"ForSection":"dashboard","EmailAddress":"ines@rivermouth.example","DisplayName":"Ines Okoro","GroupID":""}'`,
		`now() + interval '60 seconds'`)
)
