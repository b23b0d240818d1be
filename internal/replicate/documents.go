package replicate

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/remote"
)

// digest is the SHA-256 of a document.
type digest [sha256.Size]byte

// documents copies the APIs or the policies of an organisation.
func (c *copier) documents(ctx context.Context, kind remote.Kind, organisation string) (err error) {
	source, target, err := c.lists(ctx, kind, organisation)
	if err != nil || source == nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll(source, target)) }()
	stored, err := digests(kind, target)
	if err != nil {
		return err
	}
	count := c.report.count(kind)
	var fatal error
	imported := c.to.Import(kind, func(doc json.RawMessage, cause error) {
		id := remote.IDOf(kind, doc)
		if _, exists := stored[id]; exists {
			count.Updated--
		} else {
			count.Created--
		}
		if err := c.failed(object{kind, organisation, id}, cause); err != nil {
			fatal = errors.Join(fatal, err)
		}
	})
	for doc, err := range source.All() {
		if err != nil {
			return fmt.Errorf("%s of the source: %w", kind.Plural(), err)
		}
		c.countOwned(kind, doc)
		known, exists := stored[remote.IDOf(kind, doc)]
		if exists && known == sha256.Sum256(doc) {
			count.Unchanged++
			continue
		}
		c.report.saved(kind, exists)
		if err := imported.Add(ctx, doc); err != nil {
			return err
		}
	}
	return errors.Join(imported.Flush(ctx), fatal)
}

// countOwned counts an API that has owners.
func (c *copier) countOwned(kind remote.Kind, doc json.RawMessage) {
	if kind != remote.API {
		return
	}
	for _, name := range []string{"user_owners", "user_group_owners"} {
		if owners, _ := jsondoc.Get(doc, name); len(owners) > len("[]") && string(owners) != "null" {
			c.report.owned++
			return
		}
	}
}

// digests returns the digests of documents by their IDs.
func digests(kind remote.Kind, list *remote.List) (map[string]digest, error) {
	stored := map[string]digest{}
	if list == nil {
		return stored, nil
	}
	for doc, err := range list.All() {
		if err != nil {
			return nil, fmt.Errorf("%s of the target: %w", kind.Plural(), err)
		}
		stored[remote.IDOf(kind, doc)] = sha256.Sum256(doc)
	}
	return stored, nil
}

// counters are the members of a session that a gateway changes when it counts requests.
var counters = map[string]bool{"quota_remaining": true, "quota_renews": true, "last_updated": true}

// sameSession reports whether two sessions are equal except for counters.
func sameSession(a, b json.RawMessage) bool {
	isCounter := func(name string) bool { return counters[name] }
	return string(jsondoc.WithoutAny(a, isCounter)) == string(jsondoc.WithoutAny(b, isCounter))
}

// sameOrganisation reports whether the stored organisation of the target equals the given one of the source. Additional
// empty members of the stored one are ignored, because servers complete organisations with them.
func sameOrganisation(given, stored json.RawMessage) bool {
	left := maps.Collect(jsondoc.All(stored))
	for name, value := range jsondoc.All(given) {
		if left[name] != value {
			return false
		}
		delete(left, name)
	}
	for _, value := range left {
		if !isEmpty(json.RawMessage(value)) {
			return false
		}
	}
	return true
}

// isEmpty reports whether a value is null, false, 0, "", an empty list, or an object of such values.
func isEmpty(value json.RawMessage) bool {
	switch string(value) {
	case "null", "false", "0", `""`, "[]", "{}":
		return true
	}
	if value[0] != '{' {
		return false
	}
	for _, member := range jsondoc.All(value) {
		if !isEmpty(json.RawMessage(member)) {
			return false
		}
	}
	return true
}
