package contract

// Reply is a response that a handler has chosen among those that its operation declares. The code that is generated
// from a contract makes it, with a function for each outcome of each operation: an outcome that an operation does not
// declare does not compile.
type Reply struct {
	Outcome  Outcome
	Response Response
	// Value replaces the part of the response's message that varies.
	Value string
	// Body is the body, or the Meta of an Envelope.
	Body any
	// ID is the ID of an Envelope that has one, beside its Meta.
	ID string
	// Cause is the error that led to the outcome, for the log; nil if there is none, and for a success.
	Cause error
	// Streamed replies have their bodies sent by the handler.
	Streamed bool
}

// Form is what the body of a response looks like.
type Form int

// The forms of a body.
const (
	Object   Form = iota // of a schema of its own
	Envelope             // an object with Status, Message and Meta
	Empty                // no body
)

// Message returns the message of an Envelope.
func (r Reply) Message() string { return r.Response.Text(r.Value) }
