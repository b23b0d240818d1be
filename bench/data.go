package main

import (
	"context"
	"crypto/md5" // access keys that look random, and that SQL can compute as well
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// IDs are a prefix and nine decimal digits, so that Go, SQL and pgbench, which has only numbers, can all generate them.
// The first number is 100000000, so that none needs padding.
const (
	userPrefix         = "614215edb2d4719"
	organisationPrefix = "53ac07777cbb8c2"
	firstNumber        = 100_000_000
	// owners is the number of organisations that users and documents belong to.
	owners = 100
)

func userID(n int) string         { return fmt.Sprintf("%s%d", userPrefix, firstNumber+n) }
func organisationID(n int) string { return fmt.Sprintf("%s%d", organisationPrefix, firstNumber+n) }
func email(n int) string          { return fmt.Sprintf("user-%d@rivermouth.example", firstNumber+n) }

// accessKey returns the access key of the n-th user: the MD5 of the user's ID.
func accessKey(n int) string {
	sum := md5.Sum([]byte(userID(n)))
	return hex.EncodeToString(sum[:])
}

// organisationDocument is an organisation of half a kilobyte, as real ones are. @id stands for its ID.
const organisationDocument = `{"id":"@id","owner_name":"Rivermouth Foods","owner_slug":"rivermouth",` +
	`"cname_enabled":false,"cname":"",` +
	`"apis":[{"api_human_name":"Tide tables","api_id":"5fa2db834e07444f760b7ceb314209fb"}],` +
	`"sso_enabled":true,"developer_quota":123,"developer_count":21,` +
	`"event_options":{"key_event":{"webhook":"","email":"","redis":true}},"hybrid_enabled":false,` +
	`"ui":{"languages":{},"hide_help":false,"default_lang":"","login_page":{},"nav":{},"uptime":{},` +
	`"portal_section":{},"designer":{},"dont_show_admin_sockets":false,` +
	`"dont_allow_license_management":false,"dont_allow_license_management_view":false,"cloud":false,` +
	`"dev":false},"org_options_meta":{},"open_policy":{"rules":"","enabled":false},` +
	`"additional_permissions":{}}`

// stockTables creates the tables of stock, which stores documents as jsonb. It uses gatehouse's table of users.
const stockTables = `
	CREATE SCHEMA stock;
	CREATE TABLE stock.organisations (
		id text PRIMARY KEY, position bigint GENERATED ALWAYS AS IDENTITY UNIQUE, document jsonb NOT NULL);
	CREATE TABLE stock.apis (
		api_id text PRIMARY KEY, position bigint GENERATED ALWAYS AS IDENTITY UNIQUE, id text NOT NULL UNIQUE,
		org_id text NOT NULL REFERENCES organisations ON DELETE CASCADE, active boolean NOT NULL, document jsonb NOT NULL);
	CREATE INDEX ON stock.apis (org_id, position);
	CREATE TABLE stock.policies (
		id text PRIMARY KEY, position bigint GENERATED ALWAYS AS IDENTITY UNIQUE, policy_id text NOT NULL UNIQUE,
		org_id text NOT NULL REFERENCES organisations ON DELETE CASCADE, document jsonb NOT NULL);
	CREATE INDEX ON stock.policies (org_id, position);`

// fill creates organisations and users. User n belongs to organisation n modulo the number of organisations.
func fill(ctx context.Context, connString string, organisations, users int) error {
	conn, err := pgx.Connect(ctx, connString)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `
		INSERT INTO organisations (id, sso_enabled, document)
		SELECT id, true, replace($1, '@id', id)::json
		FROM (SELECT $2 || n AS id FROM generate_series($3::int, $4::int) AS n ORDER BY n) AS ids`,
		organisationDocument, organisationPrefix, firstNumber, firstNumber+organisations-1); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, `INSERT INTO stock.organisations (id, document)
		SELECT id, document::jsonb FROM organisations ORDER BY position`); err != nil {
		return err
	}
	if err := fillUsers(ctx, conn, organisations, users); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `VACUUM ANALYZE`)
	return err
}

// fillUsers drops the constraints and indexes of users, inserts the rows, and creates constraints and indexes again.
// With ten million users this takes a third of the time.
func fillUsers(ctx context.Context, conn *pgx.Conn, organisations, users int) error {
	// What refers to users is dropped first, and created last.
	rows, _ := conn.Query(ctx, `
		SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS "drop",
			format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS "create",
			confrelid <> 'users'::regclass AS own
		FROM pg_constraint
		WHERE 'users'::regclass IN (conrelid, confrelid) AND contype <> 'n' -- NOT NULL, from Postgres 18 on
		UNION ALL
		SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid), true
		FROM pg_index
		WHERE indrelid = 'users'::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
		ORDER BY own`)
	type definition struct {
		Drop, Create string
		Own          bool
	}
	definitions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[definition])
	if err != nil {
		return err
	}
	for _, d := range definitions {
		if _, err := conn.Exec(ctx, d.Drop); err != nil {
			return fmt.Errorf("%w: %s", err, d.Drop)
		}
	}
	if _, err := conn.Exec(ctx, `
		INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
			user_permissions, group_id, password_max_days, created_at)
		SELECT $1 || n, $2 || ($3::int + n % $4::int),
			'user-' || n || '@rivermouth.example', 'user-' || n || '@rivermouth.example', 'Ines', 'Okoro',
			true, md5($1 || n), '{"IsAdmin": "admin"}', '', 0,
			date_trunc('second', now()) -- responses of ogen have whole seconds
		FROM generate_series($3::int, $5::int) AS n`,
		userPrefix, organisationPrefix, firstNumber, organisations, firstNumber+users-1); err != nil {
		return err
	}
	for _, d := range slices.Backward(definitions) {
		if _, err := conn.Exec(ctx, d.Create); err != nil {
			return fmt.Errorf("%w: %s", err, d.Create)
		}
	}
	return nil
}

// call appends a small request to buf. line is its method and path; body may be empty.
func call(buf []byte, line, header, body string) []byte {
	buf = append(buf, line...)
	buf = append(buf, " HTTP/1.1\r\nHost: bench\r\n"...)
	buf = append(buf, header...)
	if body != "" {
		buf = fmt.Appendf(buf, "\r\nContent-Type: application/json\r\nContent-Length: %d", len(body))
	}
	return append(append(buf, "\r\n\r\n"...), body...)
}

const adminHeader = "Admin-Auth: " + adminSecret

// The small requests. n is the number of a user; organisations are n modulo their number.

func getUser(buf []byte, n int) []byte {
	return call(buf, "GET /admin/users/"+userID(n), adminHeader, "")
}

func getOrganisation(buf []byte, n int) []byte {
	return call(buf, "GET /admin/organisations/"+organisationID(n%owners), adminHeader, "")
}

func allowReset(buf []byte, n int) []byte {
	return call(buf, "PUT /admin/users/"+userID(n)+"/actions/allow_reset_passwords", adminHeader, "")
}

func createUser(buf []byte, n int) []byte {
	return call(buf, "POST /admin/users", adminHeader,
		`{"org_id":"`+organisationID(n%owners)+`","first_name":"Ines","last_name":"Okoro",`+
			`"email_address":"new-`+strings.TrimPrefix(email(n), "user-")+`",`+
			`"active":true,"user_permissions":{"IsAdmin":"admin"}}`)
}

func signOn(buf []byte, n int) []byte {
	return call(buf, "POST /admin/sso", adminHeader,
		`{"ForSection":"dashboard","OrgID":"`+organisationID(n%owners)+`","EmailAddress":"`+email(n)+`",`+
			`"DisplayName":"Ines Okoro","GroupID":"","SSOOnlyForRegisteredUsers":false,"UserNotAllowed":false}`)
}

func findByEmail(buf []byte, n int) []byte {
	return call(buf, "GET /admin/users?email="+email(n), adminHeader, "")
}

// getSelf is a user's request for their own user: the server looks up the access key and then the user.
func getSelf(buf []byte, n int) []byte {
	return call(buf, "GET /api/users/"+userID(n), "Authorization: "+accessKey(n), "")
}
