package conformance

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// WriteJUnit writes the report as JUnit XML: a suite for each operation, a test case for each scenario, and a suite for
// generated requests.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junit.Testsuites{Name: "gatehouse contract check"}
	for i := 0; i < len(r.Results); {
		op := r.Results[i].Scenario.Operation
		suite := junit.Testsuite{Name: op.ID, Timestamp: r.Started.UTC().Format(time.RFC3339)}
		suite.AddProperty("operation", op.Method+" "+op.Path)
		suite.AddProperty("url", r.URL)
		var total time.Duration
		for ; i < len(r.Results) && r.Results[i].Scenario.Operation == op; i++ {
			total += r.Results[i].Duration
			suite.AddTestcase(testcase(r.Results[i]))
		}
		suite.Time = seconds(total)
		all.AddSuite(suite)
	}
	all.Time = seconds(r.Duration)
	if r.Fuzz != nil {
		all.AddSuite(r.fuzzSuite())
		all.Time = seconds(r.Duration + r.Fuzz.Duration)
	}
	return all.WriteXML(w)
}

// fuzzSuite has a test case for each generated request that failed, and one if none did.
func (r *Report) fuzzSuite() junit.Testsuite {
	suite := junit.Testsuite{Name: "generated requests", Timestamp: r.Started.UTC().Format(time.RFC3339)}
	suite.AddProperty("url", r.URL)
	suite.AddProperty("seed", strconv.FormatUint(r.Fuzz.Seed, 10))
	suite.AddProperty("requests", strconv.Itoa(r.Fuzz.Requests))
	for _, result := range r.Fuzz.Failures {
		suite.AddTestcase(testcase(result))
	}
	if len(r.Fuzz.Failures) == 0 {
		suite.AddTestcase(junit.Testcase{
			Classname: suite.Name, Name: r.Fuzz.Summary(), Time: seconds(r.Fuzz.Duration), Status: string(StatusDriven),
		})
	}
	suite.Time = seconds(r.Fuzz.Duration)
	return suite
}

func testcase(result *Result) junit.Testcase {
	c := junit.Testcase{
		Classname: result.Scenario.Operation.ID, Name: cmp.Or(result.Scenario.name(), result.Scenario.ID()),
		Time: seconds(result.Duration), Status: string(result.Status),
	}
	switch result.Status {
	case StatusNotDriven:
		c.Skipped = &junit.Result{Message: result.Reason}
	case StatusFailed:
		message := result.Reason
		if message == "" && len(result.Differences) > 0 {
			message = result.Differences[0].String()
		}
		c.Failure = &junit.Result{Message: message, Type: "departure", Data: result.Description() + "\n" + result.Script()}
	case StatusDriven:
	}
	return c
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
