package server

import (
	"gatehouse/contract"
)

// What can happen to a request. Each outcome is the name of a response example in the contracts, which document its
// status and message for each operation.
const (
	outcomeOK                  contract.Outcome = "ok"
	outcomeFailed              contract.Outcome = "failed" // a fault of the server or the database
	outcomeUnauthorised        contract.Outcome = "unauthorised"
	outcomeNoKey               contract.Outcome = "no_key"
	outcomeAccessDenied        contract.Outcome = "access_denied"
	outcomeEmptyBody           contract.Outcome = "empty_body"
	outcomeMalformed           contract.Outcome = "malformed"
	outcomeTooLarge            contract.Outcome = "too_large"
	outcomeTooSlow             contract.Outcome = "too_slow"
	outcomeBadParameter        contract.Outcome = "bad_parameter"
	outcomeMissingParameter    contract.Outcome = "missing_parameter"
	outcomeNotFound            contract.Outcome = "not_found"
	outcomeConflict            contract.Outcome = "conflict"
	outcomeKeyConflict         contract.Outcome = "key_conflict"
	outcomeUnknownOrganisation contract.Outcome = "unknown_organisation"
	outcomeInvalid             contract.Outcome = "invalid"
	outcomeGateway             contract.Outcome = "gateway" // the gateway refused the request, or could not be reached
	outcomeNoGateway           contract.Outcome = "no_gateway"
	outcomeNotOwned            contract.Outcome = "not_owned"
	outcomeNotAdmin            contract.Outcome = "not_admin"
	outcomeNotAllowed          contract.Outcome = "not_allowed"
	outcomeWrongPassword       contract.Outcome = "wrong_password"
	outcomeNotRegistered       contract.Outcome = "not_registered"
	outcomeSSODisabled         contract.Outcome = "sso_disabled"
)

// apiError is an error whose outcome is known. outcome, value and problems are for the client, cause is for the log.
type apiError struct {
	outcome contract.Outcome
	// value replaces the part of the outcome's message that varies (x-varies).
	value    string
	problems []contract.Problem
	cause    error
}

// malformed returns the error for a body in which the value at a JSON pointer is wrong.
func malformed(path, reason string, cause error) apiError {
	return apiError{outcome: outcomeMalformed, problems: []contract.Problem{{Path: path, Reason: reason}}, cause: cause}
}

// Error implements error.
func (e apiError) Error() string {
	if e.cause != nil {
		return string(e.outcome) + ": " + e.cause.Error()
	}
	return string(e.outcome)
}

// Unwrap returns the cause.
func (e apiError) Unwrap() error { return e.cause }
