package replicate

import (
	"fmt"

	"gatehouse/internal/remote"
)

// Count is what has become of the objects of one kind.
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

// NamedUser is a user of the target; an empty organisation is that of super users.
type NamedUser struct {
	Organisation string `json:"organisation"`
	EmailAddress string `json:"email_address"`
}

// Report says what a copy has done, and what it could not.
type Report struct {
	Counts   []Count   `json:"counts"`
	Failures []Failure `json:"failures"`
	// NotGiven says what the source does not give, and what is not copied for another reason.
	NotGiven []string `json:"not_given"`
	// WithoutPassword are the users who must set a password: those of the target who have none.
	WithoutPassword []NamedUser `json:"without_password"`
	// OtherAccessKey are the users whose access key on the target is not that of the source.
	OtherAccessKey []NamedUser `json:"other_access_key"`

	// NeedsAccessKey reports whether the access key of a user of the source would help.
	NeedsAccessKey bool `json:"needs_access_key"`

	once map[string]bool // lines of NotGiven
	// owned counts the APIs that name owners, and grouped the users who have a group.
	owned, grouped int
}

func newReport() *Report {
	r := &Report{
		Failures: []Failure{}, NotGiven: []string{}, WithoutPassword: []NamedUser{}, OtherAccessKey: []NamedUser{},
		once: map[string]bool{},
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
	if !r.once[line] {
		r.once[line] = true
		r.NotGiven = append(r.NotGiven, line)
	}
}

// missing records that the source does not give the objects of a kind.
func (r *Report) missing(kind remote.Kind, cause error) {
	r.NeedsAccessKey = r.NeedsAccessKey || kind != remote.Key
	r.note(fmt.Sprintf("%s: %s", kind.Plural(), cause))
}

// uncompared records that the target does not say what it has: all objects of the kind are written.
func (r *Report) uncompared(kind remote.Kind) {
	r.note(kind.Plural() + " of the target: it does not list them, so that all are written, and counted as created")
}

// finish adds what is known at the end.
func (r *Report) finish() {
	if r.owned > 0 {
		r.note(fmt.Sprintf("user_owners and user_group_owners of APIs (%d): they are copied as they are, and name users and "+
			"groups by IDs of the source", r.owned))
	}
	if r.grouped > 0 {
		r.note(fmt.Sprintf("group_id of users (%d): it is copied as it is, and the admin API has no user groups", r.grouped))
	}
}
