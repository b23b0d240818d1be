// Package doctor examines what a server of gatehouse needs: its database, the gateways and their Redis, its secrets and
// certificates, disks, clocks and limits. There is a file for each kind of check. Checks change nothing, and their
// findings have no secrets.
package doctor

import (
	"context"
	"fmt"
	"time"

	"gatehouse/store"
)

// Status is the severity of a finding.
type Status string

// The statuses, from the best to the worst. A note is what is usual in some installations, such as that there is no
// gateway. A warning is a risk, or makes the server slower. With a fault, a server does not start, or does not work.
const (
	OK      Status = "ok"
	Note    Status = "note"
	Warning Status = "warning"
	Fault   Status = "fault"
)

// Finding is the result of a check.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	// Advice is what to do; "" if nothing is.
	Advice string `json:"advice"`
}

// Check is a check, or several that inspect the same object.
type Check struct {
	Name string
	// Run returns the findings. It should return when ctx ends.
	Run func(ctx context.Context) []Finding
}

// grace is how long Run waits for a check after its context has ended: a system call for a file on a server that does
// not answer has no deadline.
const grace = 2 * time.Second

// Run runs checks at the same time, and returns their findings in the order of the checks. A check that has not
// returned within the timeout and a grace of 2 s is a fault. Its goroutine ends with the call that it waits for, or
// with the program.
func Run(ctx context.Context, timeout time.Duration, checks []Check) []Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make([]chan []Finding, len(checks))
	for i, check := range checks {
		results[i] = make(chan []Finding, 1)
		go func() { results[i] <- check.Run(ctx) }()
	}
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, func() { close(late) }) })
	defer stop()
	var findings []Finding
	for i, check := range checks {
		found, ok := await(results[i], late)
		if !ok {
			found = []Finding{{
				check.Name, Fault, fmt.Sprintf("no result within %s", timeout),
				"find the server or file system that does not answer, or allow more time with --timeout",
			}}
		}
		findings = append(findings, found...)
	}
	return findings
}

// await returns a result unless late is closed first. A result that is available already is returned in any case: Run
// may have waited for an earlier check until late was closed.
func await(result <-chan []Finding, late <-chan struct{}) (found []Finding, ok bool) {
	select {
	case found = <-result:
		return found, true
	case <-late:
	}
	select {
	case found = <-result:
		return found, true
	default:
		return nil, false
	}
}

// Database is the result of CheckDatabase, with which other checks compare what they find.
type Database struct {
	done  chan struct{}
	found store.Inspection
	err   error
}

// NewDatabase returns a Database without a result.
func NewDatabase() *Database { return &Database{done: make(chan struct{})} }

// set stores the result of the inspection. It is called once.
func (d *Database) set(found store.Inspection, err error) {
	d.found, d.err = found, err
	close(d.done)
}

// get waits for the result. known is false if the database could not be inspected.
func (d *Database) get(ctx context.Context) (found store.Inspection, known bool) {
	select {
	case <-d.done:
		return d.found, d.err == nil
	case <-ctx.Done():
		return found, false
	}
}
