package store

// The statements of the commonest requests, which bench/ runs without a server, too.
const (
	SelectUser = `SELECT` + userColumns + ` FROM users WHERE id = $1`

	// SetResetPassword takes the user's id, and whether to grant the permission or to take it back.
	SetResetPassword = `UPDATE users SET` + resetPassword + ` WHERE id = $1 RETURNING` + userColumns

	InsertUser = `
		INSERT INTO users (id, org_id, email_address, email_key, first_name, last_name, active, access_key,
			user_permissions, group_id, password_max_days, created_at)
		VALUES ($1, nullif($2::text, ''), $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		RETURNING` + userColumns

	SelectOrganisation = `SELECT id, document FROM organisations WHERE id = $1`

	InsertNonce = `
		INSERT INTO sso_nonces (nonce_hash, org_id, email_key, registered_only, document, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6)`
)

const userColumns = `
	id, coalesce(org_id, '') AS org_id, email_address, first_name, last_name, active, access_key, user_permissions,
	group_id, password_max_days, password_updated, last_login_date, created_at`

const resetPassword = `
	user_permissions = CASE
		WHEN $2::boolean THEN user_permissions || '{"ResetPassword": "admin"}'
		ELSE user_permissions - 'ResetPassword' END`
