package lint

import (
	"slices"

	"go.yaml.in/yaml/v4"
)

// maxExpanded is how many nodes a document may have with its aliases replaced: a few lines of YAML can stand for
// billions.
const maxExpanded = 5_000_000

// expandAliases replaces the aliases of a document by what they stand for, and merges what `<<` names. It reports
// whether the document is small enough for that, and no alias stands for something that it is a part of.
func expandAliases(root *yaml.Node) bool {
	e := expansion{sizes: map[*yaml.Node]int{}}
	return e.expand(root)
}

// expansion has the sizes of the nodes that were expanded; 0 for those that are being expanded.
type expansion struct{ sizes map[*yaml.Node]int }

func (e *expansion) expand(node *yaml.Node) bool {
	if size, known := e.sizes[node]; known {
		return size > 0
	}
	e.sizes[node] = 0
	size := 1
	for i, child := range node.Content {
		if child.Kind == yaml.AliasNode {
			child = child.Alias
			node.Content[i] = child
		}
		if !e.expand(child) {
			return false
		}
		if size += e.sizes[child]; size > maxExpanded {
			return false
		}
	}
	e.sizes[node] = size
	merge(node)
	return true
}

// merge replaces the key << of an object by the members that its value has and the object does not.
func merge(node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return
	}
	isMerge := func(key *yaml.Node) bool { return key.ShortTag() == "!!merge" }
	var members, merged []*yaml.Node
	for key, value := range pairs(node) {
		switch {
		case !isMerge(key):
			members = append(members, key, value)
		case value.Kind == yaml.SequenceNode:
			merged = append(merged, value.Content...)
		default:
			merged = append(merged, value)
		}
	}
	if len(members) == len(node.Content) {
		return
	}
	known := names(node)
	for _, from := range merged {
		for key, value := range pairs(from) {
			if !slices.Contains(known, key.Value) {
				known = append(known, key.Value)
				members = append(members, key, value)
			}
		}
	}
	node.Content = members
}
