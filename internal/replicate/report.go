package replicate

import (
	"fmt"

	"gatehouse/internal/remote"
)

// Count is the number of objects of one kind, by outcome.
type Count struct {
	Kind      string `json:"kind"`
	Created   int    `json:"created"`
	Updated   int    `json:"updated"`
	Unchanged int    `json:"unchanged"`
	Failed    int    `json:"failed"`
}

// Failure is an object that was not copied.
type Failure struct {
	Organisation string `json:"organisation"`
	Kind         string `json:"kind"`
	ID           string `json:"id"`
	Reason       string `json:"reason"`
}

// NamedUser identifies a user of the target. Organisation is "" for a super user.
type NamedUser struct {
	Organisation string `json:"organisation"`
	EmailAddress string `json:"email_address"`
}

// Report is the result of a copy.
type Report struct {
	Counts   []Count   `json:"counts"`
	Failures []Failure `json:"failures"`
	// NotGiven has a line for everything that the source does not send, or that differs on the target for another reason.
	NotGiven []string `json:"not_given"`
	// WithoutPassword are the users of the target that have no password.
	WithoutPassword []NamedUser `json:"without_password"`
	// OtherAccessKey are the users whose access key on the target is not that of the source.
	OtherAccessKey []NamedUser `json:"other_access_key"`

	// NeedsAccessKey reports whether lists of the source were not copied that an access key of the source would permit.
	NeedsAccessKey bool `json:"needs_access_key"`

	noted map[string]bool // the lines of NotGiven
	// owned counts the APIs that have owners, and grouped the users that have a group.
	owned, grouped int
}

func newReport() *Report {
	r := &Report{
		Failures: []Failure{}, NotGiven: []string{}, WithoutPassword: []NamedUser{}, OtherAccessKey: []NamedUser{},
		noted: map[string]bool{},
	}
	for _, kind := range remote.Kinds() {
		r.Counts = append(r.Counts, Count{Kind: kind.Plural()})
	}
	return r
}

// count returns the count of a kind.
func (r *Report) count(kind remote.Kind) *Count {
	for i := range r.Counts {
		if r.Counts[i].Kind == kind.Plural() {
			return &r.Counts[i]
		}
	}
	panic("no such kind: " + string(kind))
}

// saved counts an object that was written.
func (r *Report) saved(kind remote.Kind, existed bool) {
	if existed {
		r.count(kind).Updated++
		return
	}
	r.count(kind).Created++
}

// Written returns how many objects were created or updated.
func (r *Report) Written() (n int) {
	for _, c := range r.Counts {
		n += c.Created + c.Updated
	}
	return n
}

// note adds a line to NotGiven, once.
func (r *Report) note(line string) {
	if !r.noted[line] {
		r.noted[line] = true
		r.NotGiven = append(r.NotGiven, line)
	}
}

// missing records that the source does not list the objects of a kind.
func (r *Report) missing(kind remote.Kind, cause error) {
	r.NeedsAccessKey = r.NeedsAccessKey || kind != remote.Key
	r.note(fmt.Sprintf("%s: %s", kind.Plural(), cause))
}

// uncompared records that the target does not list the objects of a kind, so that all are written.
func (r *Report) uncompared(kind remote.Kind) {
	r.note(kind.Plural() + " of the target: it does not list them, so that all are written, and counted as created")
}

// finish adds the lines about owners and groups, which have counts.
func (r *Report) finish() {
	if r.owned > 0 {
		r.note(fmt.Sprintf("user_owners and user_group_owners of APIs (%d): they are copied as they are, and name users and "+
			"groups by IDs of the source", r.owned))
	}
	if r.grouped > 0 {
		r.note(fmt.Sprintf("group_id of users (%d): it is copied as it is, and the admin API has no user groups", r.grouped))
	}
}
