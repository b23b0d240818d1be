package server

import (
	"gatehouse/apiserver"
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
	sessionScheme   = "session"          // of users and operators, for /api
	operatorScheme  = "operator_session" // of operators, for /admin
)

// contractRules are those of package apiserver, and what the server adds.
var contractRules = newContractRules()

func newContractRules() contract.Rules {
	rules := apiserver.Rules(adminScheme, accessKeyScheme, nodeScheme, sessionScheme, operatorScheme)
	for scheme, outcomes := range rules.Schemes {
		rules.Schemes[scheme] = append(outcomes, apiserver.OutcomeTooManyAttempts)
	}
	// The key is looked up in the database, which may fail.
	rules.Schemes[accessKeyScheme] = append(rules.Schemes[accessKeyScheme], outcomeNoKey, apiserver.OutcomeFailed)
	rules.Extensions["x-gatehouse"] = "operation" // read by the tests of openapi/
	return rules
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
