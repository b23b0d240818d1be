// Package replicate copies the objects of one server of the Admin API to another, with the public operations of both.
// IDs are preserved, except those of users, which servers generate. A copy can be repeated: objects that are equal on
// the target are not written.
//
// Copy holds one list of one organisation at a time, in a file if it is long, and the IDs of all organisations.
package replicate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"gatehouse/internal/jsondoc"
	"gatehouse/internal/remote"
)

// Options configure Copy.
type Options struct {
	// Organisation is the ID of the only organisation to copy; "" copies all, and the super users.
	Organisation string
	// Failed, if it is not nil, is called for each object that cannot be copied.
	Failed func(Failure)
	// Done, if it is not nil, is called after each organisation, with the number of organisations to copy.
	Done func(organisations int)
}

// copier copies from one server to another.
type copier struct {
	from, to *remote.Server
	opts     Options
	report   *Report
	// sourceKeys and targetKeys are the organisations that have a key; nil if the server does not list them.
	sourceKeys, targetKeys map[string]bool
}

// Copy copies all organisations, or the one that the options name. Objects that cannot be copied are in the report. The
// error is one that ended the copy; the report then covers the objects before it.
func Copy(ctx context.Context, from, to *remote.Server, opts Options) (*Report, error) {
	c := &copier{from: from, to: to, opts: opts, report: newReport()}
	defer c.report.finish()
	organisations, err := c.organisations(ctx)
	if err != nil {
		return c.report, err
	}
	if err := c.listKeys(ctx); err != nil {
		return c.report, err
	}
	for _, id := range organisations {
		if err := c.organisation(ctx, id); err != nil {
			return c.report, fmt.Errorf("organisation %s: %w", id, err)
		}
		if opts.Done != nil {
			opts.Done(len(organisations))
		}
	}
	if opts.Organisation == "" {
		if err := c.users(ctx, ""); err != nil {
			return c.report, fmt.Errorf("super users: %w", err)
		}
	}
	return c.report, nil
}

// organisations returns the IDs of the organisations to copy.
func (c *copier) organisations(ctx context.Context) ([]string, error) {
	if c.opts.Organisation != "" {
		return []string{c.opts.Organisation}, nil
	}
	ids, err := c.from.OrganisationIDs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the organisations of the source: %w", err)
	}
	return ids, nil
}

// listKeys sets sourceKeys and targetKeys.
func (c *copier) listKeys(ctx context.Context) (err error) {
	c.sourceKeys, err = c.from.KeyIDs(ctx)
	if err != nil {
		if remote.IsFatal(err) && !errors.Is(err, remote.ErrLacking) {
			return fmt.Errorf("list the organisation keys of the source: %w", err)
		}
		c.report.missing(remote.Key, err)
		return nil
	}
	c.targetKeys, err = c.to.KeyIDs(ctx)
	if err != nil && remote.IsFatal(err) {
		return fmt.Errorf("list the organisation keys of the target: %w", err)
	}
	return nil
}

// organisation copies an organisation and its objects.
func (c *copier) organisation(ctx context.Context, id string) error {
	copied, err := c.document(ctx, id)
	if err != nil || !copied {
		return err // without it, the target would refuse the rest
	}
	if err := c.users(ctx, id); err != nil {
		return err
	}
	for _, kind := range []remote.Kind{remote.API, remote.Policy} {
		if err := c.documents(ctx, kind, id); err != nil {
			return err
		}
	}
	if c.sourceKeys[id] {
		return c.key(ctx, id)
	}
	return nil
}

// document copies the document of an organisation, and reports whether the target has it now.
func (c *copier) document(ctx context.Context, id string) (copied bool, err error) {
	object := object{remote.Organisation, id, id}
	doc, err := c.from.Organisation(ctx, id)
	if errors.Is(err, remote.ErrNotFound) {
		err = fmt.Errorf("the source has no such organisation: %w", err)
	}
	if err != nil {
		return false, c.failed(object, err)
	}
	if sent := remote.IDOf(remote.Organisation, doc); sent != id {
		return false, c.failed(object, belongsElsewhere(sent))
	}
	stored, err := c.to.Organisation(ctx, id)
	exists := err == nil
	if err != nil && !errors.Is(err, remote.ErrNotFound) {
		return false, c.failed(object, err)
	}
	if exists && sameOrganisation(doc, stored) {
		c.report.count(remote.Organisation).Unchanged++
		return true, nil
	}
	if err := c.to.SaveOrganisation(ctx, id, doc, exists); err != nil {
		return false, c.failed(object, err)
	}
	c.report.saved(remote.Organisation, exists)
	return true, nil
}

// failed records an object that cannot be copied. It returns an error if cause ends the copy.
func (c *copier) failed(o object, cause error) error {
	if remote.IsFatal(cause) {
		return fmt.Errorf("%s %s: %w", o.kind, o.id, cause)
	}
	c.record(o, cause)
	return nil
}

// record records an object that was not copied.
func (c *copier) record(o object, cause error) {
	failure := Failure{Organisation: o.organisation, Kind: string(o.kind), ID: o.id, Reason: cause.Error()}
	c.report.count(o.kind).Failed++
	c.report.Failures = append(c.report.Failures, failure)
	if c.opts.Failed != nil {
		c.opts.Failed(failure)
	}
}

// lists returns the list of the source and that of the target. source is nil if the source does not list the objects,
// and target if the target does not.
func (c *copier) lists(
	ctx context.Context, kind remote.Kind, organisation string,
) (source, target *remote.List, err error) {
	source, err = c.from.Documents(ctx, kind, organisation)
	if errors.Is(err, remote.ErrLacking) {
		c.report.missing(kind, err)
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list the %s of the source: %w", kind.Plural(), err)
	}
	target, err = c.to.Documents(ctx, kind, organisation)
	if errors.Is(err, remote.ErrLacking) {
		c.report.uncompared(kind)
		return source, nil, nil
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("list the %s of the target: %w", kind.Plural(), err), source.Close())
	}
	return source, target, nil
}

// key copies the key of an organisation.
func (c *copier) key(ctx context.Context, organisation string) error {
	object := object{remote.Key, organisation, organisation}
	session, err := c.from.Key(ctx, organisation)
	if err != nil {
		return c.failed(object, err)
	}
	if sent := jsondoc.String(session, "org_id"); sent != organisation {
		return c.failed(object, belongsElsewhere(sent))
	}
	exists := c.targetKeys[organisation]
	if exists {
		stored, err := c.to.Key(ctx, organisation)
		if err != nil && remote.IsFatal(err) {
			return err
		}
		if err == nil && sameSession(session, stored) {
			c.report.count(remote.Key).Unchanged++
			return nil
		}
	}
	if err := c.to.SaveKey(ctx, session); err != nil {
		return c.failed(object, err)
	}
	c.report.saved(remote.Key, exists)
	return nil
}

// object identifies an object in messages.
type object struct {
	kind             remote.Kind
	organisation, id string
}

// belongsElsewhere returns the error for a response that is about another organisation than the request. It must not
// replace that organisation on the target.
func belongsElsewhere(sent string) error {
	return &remote.Error{
		Operation: "the response of the source", Status: http.StatusOK,
		Message: fmt.Sprintf("it is about organisation %q", sent),
	}
}

// closeAll closes lists. Elements may be nil.
func closeAll(lists ...*remote.List) error {
	var errs []error
	for _, list := range slices.DeleteFunc(lists, func(l *remote.List) bool { return l == nil }) {
		errs = append(errs, list.Close())
	}
	return errors.Join(errs...)
}
