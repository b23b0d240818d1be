package server

import (
	"fmt"

	"gatehouse/contract"
	"gatehouse/internal/jsondoc"
)

// objectKinds returns all kinds of documents of organisations.
func objectKinds() []objectKind {
	return []objectKind{
		assetKind, webhookKind, portalConfiguration, portalCatalogue, portalPage, portalDocumentation, portalMenus,
		portalCSS, portalDeveloper, portalRequest,
	}
}

// objectFields reads the schemas of the kinds. It returns the members of the documents of a kind in their documented
// order, with their defaults.
func objectFields(known *contract.Contract) (map[string][]jsondoc.Member, error) {
	fields := map[string][]jsondoc.Member{}
	for _, kind := range objectKinds() {
		schema := known.Operation(kind.create).Body.Schema
		var without []string
		for name, property := range schema.Properties {
			if property.Value.Default == nil {
				without = append(without, name)
			}
		}
		defaults, err := contract.Defaults(schema, without...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, err)
		}
		fields[kind.name] = jsondoc.Members(defaults)
	}
	return fields, nil
}

// kindStored returns the kind of the documents that an operation stores without an ID in its path, by the operation.
func kindStored() map[string]string {
	kinds := map[string]string{}
	for _, kind := range objectKinds() {
		kinds[kind.create] = kind.name
		if kind.replace != "" {
			kinds[kind.replace] = kind.name
		}
	}
	return kinds
}
