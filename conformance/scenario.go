package conformance

// Suite holds the scenarios of a contract. It is immutable and safe for concurrent use.
type Suite struct {
	Spec *Spec
	// Scenarios are in the order of the operations and their outcomes.
	Scenarios []*Scenario

	values      map[string]*storyValue
	credentials map[string]*credential // by security scheme
	needs       map[string]*Need
	fixtures    map[string][]step
	undo        map[string][]*Call // by the operation whose effect they undo; see run.cleanUp
	differs     map[string]bool    // names of properties
	preflight   []*Call
	matcher     *matcher
}

// Scenario makes one outcome of one operation happen.
type Scenario struct {
	Operation *Operation
	// Outcome is the response that the scenario expects.
	Outcome *Response
	// Name tells several scenarios of one outcome apart: "2" for the second, "" for the first.
	Name string
	// Needs are the names of what the server under test has to have.
	Needs []string
	// Why is a remark of the author.
	Why string
	// Position is where the scenario is declared. For one that follows from a kind of outcome, that is the kind.
	Position Position

	call  *Call
	given []step
	// among maps pointers of lists, in which elements of others are expected, too, to the pointer that identifies an
	// element.
	among map[string]string
	// differs are pointers to values of which only the type is compared.
	differs []string
	// optional are pointers to members that the response may lack.
	optional []string
	// open are pointers to objects that may have more members than the example.
	open []string
	// writes reports whether the scenario changes something although it sends nothing but GET.
	writes bool
}

// ID names the scenario: operation/outcome, and /2 for a second scenario of the same outcome. A request that no
// operation has is named by its method and path.
func (s *Scenario) ID() string {
	if s.Outcome.Outcome == "" {
		return s.Operation.ID
	}
	return s.Operation.ID + "/" + s.name()
}

// name is the part of the ID behind the operation.
func (s *Scenario) name() string {
	if s.Name == "" {
		return s.Outcome.Outcome
	}
	return s.Outcome.Outcome + "/" + s.Name
}

// Need is something that the server under test may have or lack, such as a working mail server.
type Need struct {
	Name string
	// Description completes the sentence "needs …".
	Description string
	// Fault reports whether the need is a fault that only a test in process can provide.
	Fault bool

	probe *probe // nil if no call of the API tells
}

// probe tells by the outcome of a call whether the server has what is needed.
type probe struct {
	given []step
	call  *Call
	// holds and fails are outcomes.
	holds, fails []string
}

// step is a fixture, by name, or a call.
type step struct {
	fixture string
	call    *Call
}

// Call is one request. What it does not state is that of the contract's examples.
type Call struct {
	Operation *Operation
	// Outcome is expected of a call that prepares something; "" is ok.
	Outcome  string
	Position Position

	path map[string]string
	// query and header have the values of each parameter; none leaves it out.
	query, header map[string][]string
	body          *payload
	set           []edit
	without       []string
	transfer      transfer
	credential    string // "", "none", "wrong", the name of a value, or a value of the response that the call undoes
	// as renames values: the examples' value of the key stands for the named one.
	as map[string]string
	// gone are outcomes that also mean that there is nothing left to undo.
	gone []string
	// retry repeats the call until it has the outcome.
	retry bool
}

// Credentials that are not values.
const (
	credentialNone  = "none"
	credentialWrong = "wrong"
)

// payload is a body: raw text, or a value that is encoded in the media type of the operation.
type payload struct {
	raw   *string // nil for a value
	value any
}

// edit sets the value at a JSON pointer.
type edit struct {
	pointer string
	value   any
}

// transfer is how a body is sent.
type transfer struct {
	// repeat sends the body so many times; 0 is once.
	repeat int
	// announce is a Content-Length that is larger than the body.
	announce int64
	// stall never ends the body.
	stall bool
}

// storyValue is a value of the examples' story.
type storyValue struct {
	name string
	// example is the text by which the examples refer to the value, "" if they do not.
	example string
	// fresh is the pattern of a run's own value. Without one, a response of the server sets the value.
	fresh string
	// shared reports whether the value belongs to the installation, so that every party may see it.
	shared bool
}

// credential says what authenticates requests of a security scheme.
type credential struct {
	// variable names the secret in curl lines.
	variable string
	// value is the value of the story that is the credential, "" if the runner has a secret for the scheme.
	value string
	// given are the steps before a scenario that declares none.
	given []step
}
