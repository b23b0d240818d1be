package server

import (
	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/gen/node"
)

// The security schemes of the contracts.
const (
	adminScheme     = "api_key"
	accessKeyScheme = "access_key"
	nodeScheme      = "node_secret"
)

// contractRules are what the middleware relies on: each step of a request may end with an outcome of its own.
var contractRules = contract.Rules{
	Schemes: map[string][]contract.Outcome{
		adminScheme: {outcomeUnauthorised, outcomeTooManyAttempts},
		// The key is looked up in the database, which may fail.
		accessKeyScheme: {outcomeUnauthorised, outcomeNoKey, outcomeTooManyAttempts, outcomeFailed},
		nodeScheme:      {outcomeUnauthorised, outcomeTooManyAttempts},
	},
	Authorised:         []contract.Outcome{outcomeAccessDenied},
	Body:               []contract.Outcome{outcomeMalformed, outcomeTooLarge, outcomeTooSlow},
	RequiredBody:       []contract.Outcome{outcomeEmptyBody},
	Parameters:         []contract.Outcome{outcomeBadParameter},
	RequiredParameters: []contract.Outcome{outcomeMissingParameter},
	Outcomes:           true,
	// Other keys are read by package contract. These are read by the generator, and by the tests of openapi/.
	Extensions: map[string]string{"x-go-type": "schema", "x-optional": "schema", "x-gatehouse": "operation"},
}

// LoadContract compiles the embedded contracts, which takes tens of milliseconds.
func LoadContract() (*contract.Contract, error) {
	var specs [][]byte
	for _, spec := range []func() ([]byte, error){admin.GetSpecJSON, dashboard.GetSpecJSON, node.GetSpecJSON} {
		document, err := spec()
		if err != nil {
			return nil, err
		}
		specs = append(specs, document)
	}
	return contract.Load(contractRules, specs...)
}

// Prepare loads the contract in the background, while a program waits for something else. The function that it returns
// waits for the result, and must be called.
func Prepare() func() (*contract.Contract, error) {
	var loaded *contract.Contract
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		loaded, err = LoadContract()
	}()
	return func() (*contract.Contract, error) {
		<-done
		return loaded, err
	}
}
