package store

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// What can be wrong with a request, as far as the database knows. Anything else is a fault of the database or
// of the way to it.
var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrConflict: another row has what must be unique, an organisation's cname or a user's e-mail address.
	ErrConflict = errors.New("already taken")
	// ErrAccessKeyTaken: another user has the access key.
	ErrAccessKeyTaken = errors.New("access key already taken")
	// ErrUnknownOrganisation: the organisation that is named does not exist.
	ErrUnknownOrganisation = errors.New("unknown organisation")
	// ErrMalformed: a value that Postgres cannot keep, such as text with a NUL in it.
	ErrMalformed = errors.New("not a value that can be kept")
)

// byConstraint names the error of each constraint that a request can break.
var byConstraint = map[string]error{
	"organisations_cname_key": ErrConflict,
	"users_email":             ErrConflict,
	"users_access_key":        ErrAccessKeyTaken,
	"users_organisation":      ErrUnknownOrganisation,
	"apis_organisation":       ErrUnknownOrganisation,
	"policies_organisation":   ErrUnknownOrganisation,
	"org_keys_organisation":   ErrUnknownOrganisation,
	"sso_nonces_organisation": ErrUnknownOrganisation,
}

const (
	uniqueViolation     = "23505"
	foreignKeyViolation = "23503"
	deadlockDetected    = "40P01"
	serialisation       = "40001"
	classDataException  = "22"
	classProgramLimit   = "54" // too deep, too long for an index
)

// translate turns a driver's error into one of this package's, keeping the driver's for the log.
func translate(err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case !errors.As(err, &pg):
		return err
	case pg.Code == uniqueViolation || pg.Code == foreignKeyViolation:
		if known, ok := byConstraint[pg.ConstraintName]; ok {
			return known // without pg's text, which quotes the value
		}
	case pg.Code[:2] == classDataException || pg.Code[:2] == classProgramLimit:
		return fmt.Errorf("%w: SQLSTATE %s", ErrMalformed, pg.Code)
	}
	return err
}

func isDeadlock(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == deadlockDetected || pg.Code == serialisation)
}
