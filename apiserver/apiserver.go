// Package apiserver serves the operations of a contract on Echo. A request walks one way:
//
//	route → authenticate → authorise → receive and validate the body → one handler → reply
//
// The contract (package contract) declares what is checked of a request before its handler runs, and every response
// that an operation may have. The name of a response example is an outcome, and its status and Message are the
// response. Handlers return replies, whose types and functions are generated for each operation and outcome: an outcome
// that the contract does not declare does not compile.
//
// An application embeds Request in a type of its own, which its handlers are called with, and adds to it what it knows
// of a request, such as the user who sent it:
//
//	type request struct {
//		apiserver.Request
//		user User
//	}
//
// It passes Config what only it can know: how a client is authenticated (Schemes), whether a user has a permission
// (Authorise), and the handlers (Routes). New fails if contract, routes and configuration disagree.
package apiserver
