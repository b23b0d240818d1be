package server

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

const (
	// maxQuotaReports is how many reports of gateways are kept, the last ones: some 100 KiB.
	maxQuotaReports = 1024
	// quotaReportAge is how long a report is shown.
	quotaReportAge = time.Hour
)

// quotaReport is a report of a gateway that a key has used a part of its quota. It has no key, which is a secret.
type quotaReport struct {
	orgID string
	// limit is the part in percent that was reached, and used the one that is used.
	limit, used int
	at          time.Time
}

// quotaReports are the last reports that this server has received.
type quotaReports struct {
	now func() time.Time

	mu      sync.Mutex // guards the following; nothing waits while it is held
	reports []quotaReport
	next    int // the place of the next report, when all places are used
}

func (q *quotaReports) add(r quotaReport) {
	r.at = q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.reports) < maxQuotaReports {
		q.reports = append(q.reports, r)
		return
	}
	q.reports[q.next] = r
	q.next = (q.next + 1) % maxQuotaReports
}

// quotaSummary sums up the reports of an organisation about one limit.
type quotaSummary struct {
	last  quotaReport
	count int
}

// summaries sums up the reports of the last hour about an organisation; nil is all. The newest is the first.
func (q *quotaReports) summaries(orgID *string) []quotaSummary {
	type subject struct {
		orgID string
		limit int
	}
	oldest := q.now().Add(-quotaReportAge)
	found := map[subject]quotaSummary{}
	q.mu.Lock()
	for _, r := range q.reports {
		if r.at.Before(oldest) || orgID != nil && r.orgID != *orgID {
			continue
		}
		about := subject{r.orgID, r.limit}
		summary := found[about]
		if summary.count++; !r.at.Before(summary.last.at) {
			summary.last = r
		}
		found[about] = summary
	}
	q.mu.Unlock()
	all := make([]quotaSummary, 0, len(found))
	for _, summary := range found {
		all = append(all, summary)
	}
	slices.SortFunc(all, func(a, b quotaSummary) int {
		return cmp.Or(
			b.last.at.Compare(a.last.at), cmp.Compare(a.last.orgID, b.last.orgID), cmp.Compare(a.last.limit, b.last.limit))
	})
	return all
}
