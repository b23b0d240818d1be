package lint

// Rule is something that gatehouse asks of a contract beyond OpenAPI 3.0. Its own contracts keep all rules; those of
// others can be used without.
type Rule struct {
	Name string `json:"name"`
	// Consequence says what follows for a contract that does not keep the rule.
	Consequence string `json:"consequence"`
}

// The names of the rules.
const (
	ruleOperationID   = "operation-id"
	ruleOutcome       = "outcome"
	ruleExampleName   = "example-name"
	ruleExampleValue  = "example-value"
	ruleKeyword       = "keyword"
	ruleExtension     = "extension"
	ruleFormat        = "format"
	rulePattern       = "pattern"
	ruleRequired      = "required"
	ruleNullable      = "nullable"
	ruleReference     = "reference"
	ruleSibling       = "reference-sibling"
	ruleOrder         = "property-order"
	ruleOptional      = "property-optional"
	ruleUnused        = "unused"
	ruleVariesExample = "varies"
)

// Rules returns the rules in the order in which reports have them.
func Rules() []Rule {
	return []Rule{
		{ruleOperationID, "An operation without an operationId is called by its method and path."},
		{ruleOutcome, "A response without a named example is no outcome: contract check does not make it happen."},
		{ruleExampleName, "An example without a name is sent by contract mock, but is no outcome for contract check."},
		{ruleExampleValue, "An example that does not match its schema is sent as it is; contract proxy reports it."},
		{ruleExtension, "An x- key that gatehouse does not know, or not in this place, is ignored."},
		{ruleFormat, "The values of a format that is not known are not checked."},
		{rulePattern, "A pattern that Go cannot compile refuses every value, or is not checked."},
		{ruleRequired, "A required property that is not declared may have any value."},
		{ruleNullable, "nullable without a type has no effect."},
		{ruleReference, "A reference to something outside of components is followed; the generator may name it badly."},
		{ruleSibling, "OpenAPI 3.0 ignores what is beside a $ref."},
		{ruleKeyword, "The generator of reply types does not support the keyword; the other commands ignore or keep it."},
		{ruleOrder, "A response's property without an x-order comes after those that have one, ordered by name."},
		{ruleOptional, "The generator sends a property that is not in required in every response."},
		{ruleUnused, "A component that nothing refers to is ignored."},
		{ruleVariesExample, "An x-varies that is not a part of its Message replaces nothing."},
	}
}
