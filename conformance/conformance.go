// Package conformance checks a running server against its OpenAPI contract: each named response example is made to
// happen, and the response is compared with it.
//
// How an outcome is made to happen is data: scenario files, one for each tag of the contract, and common.yaml. The
// package knows no operation, security scheme or outcome by name, except "ok" for success. openapi/scenarios/README.md
// describes the files.
//
// The examples of a contract tell one story: an organisation with this ID has a user with that e-mail address. A
// scenario acts this story out with values of its own. Each run replaces the values that common.yaml lists, in what it
// sends and in what it expects, by fresh ones or by those that the server returned. So responses can be compared value
// by value, many scenarios can run on one server at the same time, and nothing is touched that the run did not make.
//
// [Load] reads the scenarios and reports each fault with file and line. [Runner.Run] runs one scenario, [Check] all of
// them; a [Report] can be written as text, JUnit XML, JSON and HTML.
package conformance
