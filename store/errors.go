package store

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The errors that a request can cause. Every other error is a fault of the database, of the connection to it, or of
// this program.
var (
	// ErrNotFound is returned when there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrConflict is returned when another row has a value that must be unique: an organisation's cname, a user's
	// e-mail address in their organisation, or an ID.
	ErrConflict = errors.New("already taken")
	// ErrAccessKeyTaken is returned when another user has the access key.
	ErrAccessKeyTaken = errors.New("access key already taken")
	// ErrUnknownOrganisation is returned when the organisation that a row belongs to does not exist.
	ErrUnknownOrganisation = errors.New("unknown organisation")
	// ErrMalformed is returned when Postgres cannot store a value, for example a text that contains a NUL, or when the
	// value breaks a rule of its column.
	ErrMalformed = errors.New("not a value that can be stored")
)

// errInvariant is the error of the constraints that no request can violate, because the store makes the values itself,
// or has checked them.
var errInvariant = errors.New("invariant of the database violated")

// byConstraint has the error of every constraint of the schema, except NOT NULL. A test compares it with the schema.
var byConstraint = map[string]error{
	"organisations_pkey":            errInvariant, // an import replaces the organisation that has the ID
	"organisations_cname_key":       ErrConflict,
	"organisations_position_key":    errInvariant, // Postgres numbers the rows
	"organisations_id_check":        ErrMalformed,
	"organisations_cname_key_check": errInvariant, // derived from the cname

	"users_pkey":                   errInvariant,
	"users_email_key":              ErrConflict,
	"users_access_key_key":         ErrAccessKeyTaken,
	"users_position_key":           errInvariant,
	"users_org_id_fkey":            ErrUnknownOrganisation,
	"users_id_check":               errInvariant,
	"users_email_key_check":        errInvariant, // derived from the address
	"users_access_key_check":       errInvariant, // an empty one keeps the current key
	"users_user_permissions_check": errInvariant,
	"users_password_hash_check":    errInvariant, // an empty one keeps the current password

	// Imports check the IDs before they write. What they lose a race against is a row that was written past the store.
	"apis_pkey":             ErrConflict,
	"apis_id_key":           ErrConflict,
	"apis_position_key":     errInvariant,
	"apis_org_id_fkey":      ErrUnknownOrganisation,
	"apis_api_id_check":     ErrMalformed,
	"apis_id_check":         ErrMalformed,
	"apis_checked_by_check": errInvariant,
	"apis_digest_check":     errInvariant,

	"policies_pkey":             ErrConflict,
	"policies_policy_id_key":    ErrConflict,
	"policies_position_key":     errInvariant,
	"policies_org_id_fkey":      ErrUnknownOrganisation,
	"policies_id_check":         ErrMalformed,
	"policies_policy_id_check":  ErrMalformed,
	"policies_checked_by_check": errInvariant,
	"policies_digest_check":     errInvariant,

	"org_keys_pkey":        errInvariant, // a second key replaces the first
	"org_keys_org_id_fkey": ErrUnknownOrganisation,

	"org_key_sync_pkey":           errInvariant,
	"org_key_sync_lease_check":    errInvariant,
	"org_key_sync_attempts_check": errInvariant,

	"sso_nonces_pkey":             errInvariant, // the hash of a random value
	"sso_nonces_org_id_fkey":      ErrUnknownOrganisation,
	"sso_nonces_nonce_hash_check": errInvariant,
	"sso_nonces_email_key_check":  errInvariant,

	"nodes_pkey":             errInvariant,
	"nodes_session_id_key":   errInvariant, // a second registration updates the first
	"nodes_id_check":         errInvariant,
	"nodes_session_id_check": errInvariant,
}

// SQLSTATE codes, and their first two characters, which are their class.
const (
	uniqueViolation      = "23505"
	foreignKeyViolation  = "23503"
	checkViolation       = "23514"
	deadlockDetected     = "40P01"
	serializationFailure = "40001"
	classDataException   = "22"
	classProgramLimit    = "54" // nested too deep, or too long for an index
)

// wrap translates the error of an exported function, and puts the function's operation before it. It is deferred.
func wrap(operation string, err *error) {
	if *err != nil {
		*err = fmt.Errorf("store: %s: %w", operation, translate(*err))
	}
}

// translate turns an error of the driver into one of this package. The result names the constraint, for the log, but
// does not have the driver's text, which may quote a value. Other errors stay as they are.
func translate(err error) error {
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case !errors.As(err, &pg):
		return err
	case pg.Code == uniqueViolation || pg.Code == foreignKeyViolation || pg.Code == checkViolation:
		if known, ok := byConstraint[pg.ConstraintName]; ok {
			return fmt.Errorf("%w (constraint %s)", known, pg.ConstraintName)
		}
	case pg.Code[:2] == classDataException || pg.Code[:2] == classProgramLimit:
		return fmt.Errorf("%w (SQLSTATE %s)", ErrMalformed, pg.Code)
	}
	return err
}

// isDeadlock reports whether Postgres has ended a transaction that can succeed when it runs again.
func isDeadlock(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == deadlockDetected || pg.Code == serializationFailure)
}
