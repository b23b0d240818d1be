package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
	// ErrProtected is returned when a user may not change another one, who is an administrator, or the only one.
	ErrProtected = errors.New("the administrator is protected")
	// ErrUnknownOrganisation is returned when the organisation that a row belongs to does not exist.
	ErrUnknownOrganisation = errors.New("unknown organisation")
	// ErrForeign is returned when a row refers to what belongs to another organisation.
	ErrForeign = errors.New("belongs to another organisation")
	// ErrForeignName is returned for a name that stands for an API of another organisation.
	ErrForeignName = errors.New("is the ID of an API of another organisation")
	// ErrServed is returned for an API that gateways would serve where they serve one of another organisation.
	ErrServed = errors.New("is where an API of another organisation is served")
	// ErrQuota is returned when an organisation would store more than Config.Quota.
	ErrQuota = errors.New("the organisation stores as much as it may")
	// ErrMalformed is returned when Postgres cannot store a value, for example a text that contains a NUL, or when the
	// value breaks a rule of its column.
	ErrMalformed = errors.New("not a value that can be stored")
)

// ConflictError is an ErrConflict or ErrAccessKeyTaken that says which row has the value.
type ConflictError struct {
	// Member is the member of the document that has the value.
	Member string
	// Owner is what has the value already, such as "user", and ID is its ID.
	Owner, ID string

	cause error
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: %s belongs to %s %s", e.cause, e.Member, e.Owner, e.ID)
}

// Unwrap returns ErrConflict or ErrAccessKeyTaken.
func (e *ConflictError) Unwrap() error { return e.cause }

// ownerQuery selects the ID of the row that has a value.
type ownerQuery struct {
	member, owner string
	sql           string
	args          []any
}

// withOwner turns an error that is a conflict into a *ConflictError. The conflict stays as it is if the row that has
// the value is gone by now.
func withOwner(ctx context.Context, db querier, err error, q ownerQuery) error {
	conflict := translate(err)
	id, lookup := queryValue[string](ctx, db, q.sql, q.args...)
	if lookup != nil {
		return conflict
	}
	return &ConflictError{Member: q.member, Owner: q.owner, ID: id, cause: conflict}
}

// errInvariant is the error of the constraints that no request can violate, because the store makes the values itself,
// or has checked them.
var errInvariant = errors.New("invariant of the database violated")

// constraintErrors are the errors of constraints that do not follow from their kind (constraintError). A test compares
// them with the schema.
var constraintErrors = map[string]error{
	"organisations_id_check": ErrMalformed,

	"users_access_key_key": ErrAccessKeyTaken,

	// A request may choose these IDs. Imports check them before they write: what they lose a race against is a row that
	// a request or another program has stored meanwhile.
	"apis_pkey":         ErrConflict,
	"apis_api_id_check": ErrMalformed,
	"apis_id_check":     ErrMalformed,

	"policies_pkey":            ErrConflict,
	"policies_id_check":        ErrMalformed,
	"policies_policy_id_check": ErrMalformed,

	"sessions_user_id_fkey": errInvariant, // the user's row is locked

	"nodes_session_id_key": errInvariant, // a second registration updates the first
}

// constraintError returns the error of a constraint, by its name, which ends in its kind
// (migrations/005_constraints.sql). Unless constraintErrors has another one, it follows from the kind:
//
//	_key            ErrConflict: another row has the value
//	_org_id_fkey    ErrUnknownOrganisation
//	_pkey           errInvariant: the store makes IDs, or replaces the row that has the ID
//	_position_key   errInvariant: Postgres numbers the rows
//	_check          errInvariant: the contract has validated the value, or the store has made it
//
// It returns nil for other constraints: a foreign key to another table needs an entry in constraintErrors.
func constraintError(name string) error {
	if known, ok := constraintErrors[name]; ok {
		return known
	}
	for _, kind := range []struct {
		suffix string
		err    error
	}{
		{"_position_key", errInvariant},
		{"_key", ErrConflict},
		{"_org_id_fkey", ErrUnknownOrganisation},
		{"_pkey", errInvariant},
		{"_check", errInvariant},
	} {
		if strings.HasSuffix(name, kind.suffix) {
			return kind.err
		}
	}
	return nil
}

// SQLSTATE codes, and their first two characters, which are their class.
const (
	uniqueViolation      = "23505"
	foreignKeyViolation  = "23503"
	checkViolation       = "23514"
	deadlockDetected     = "40P01"
	serializationFailure = "40001"
	lockNotAvailable     = "55P03"
	tooManyConnections   = "53300"
	diskFull             = "53100"
	readOnlyTransaction  = "25006" // also of a server that has become a standby
	adminShutdown        = "57P01"
	crashShutdown        = "57P02"
	cannotConnectNow     = "57P03" // the server starts, stops or recovers
	invalidCatalogName   = "3D000"

	insufficientPrivilege = "42501"

	classDataException        = "22"
	classInvalidAuthorization = "28"
	classProgramLimit         = "54" // nested too deep, or too long for an index
)

// sqlState returns the SQLSTATE of an error of Postgres, and "" of any other error.
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

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
		if known := constraintError(pg.ConstraintName); known != nil {
			return fmt.Errorf("%w (constraint %s)", known, pg.ConstraintName)
		}
	case pg.Code[:2] == classDataException || pg.Code[:2] == classProgramLimit:
		return fmt.Errorf("%w (SQLSTATE %s)", ErrMalformed, pg.Code)
	}
	return err
}

// isDeadlock reports whether Postgres has ended a transaction that can succeed when it runs again.
func isDeadlock(err error) bool {
	code := sqlState(err)
	return code == deadlockDetected || code == serializationFailure
}
