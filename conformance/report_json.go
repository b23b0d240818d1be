package conformance

import (
	"encoding/json"
	"io"
	"time"
)

// jsonReport is the report in JSON.
type jsonReport struct {
	URL        string       `json:"url"`
	Started    time.Time    `json:"started"`
	DurationMS int64        `json:"duration_ms"`
	Outcomes   int          `json:"outcomes"`
	Driven     int          `json:"driven"`
	Failed     int          `json:"failed"`
	NotDriven  int          `json:"not_driven"`
	NeedFault  int          `json:"need_fault"`
	Leftovers  []string     `json:"leftovers,omitempty"`
	Results    []jsonResult `json:"results"`
	Fuzz       *jsonFuzz    `json:"fuzz,omitempty"`
}

// jsonFuzz is what became of generated requests.
type jsonFuzz struct {
	Seed       uint64       `json:"seed"`
	Requests   int          `json:"requests"`
	Unprepared int          `json:"unprepared"`
	Failed     int          `json:"failed"`
	DurationMS int64        `json:"duration_ms"`
	Failures   []jsonResult `json:"failures"`
}

type jsonResult struct {
	ID          string         `json:"id"` // operation/outcome
	Operation   string         `json:"operation"`
	Method      string         `json:"method"`
	Path        string         `json:"path"`
	Tag         string         `json:"tag"`
	HTTPStatus  int            `json:"http_status"`
	Outcome     string         `json:"outcome"`
	Scenario    string         `json:"scenario"` // file:line
	Result      Status         `json:"result"`
	Reason      string         `json:"reason,omitempty"`
	NeedsFault  bool           `json:"needs_fault,omitempty"`
	Differences []Difference   `json:"differences,omitempty"`
	Exchanges   []jsonExchange `json:"exchanges,omitempty"` // of a scenario that failed
	Script      string         `json:"script,omitempty"`
	DurationMS  int64          `json:"duration_ms"`
}

type jsonExchange struct {
	Operation  string `json:"operation"`
	Request    string `json:"request"`
	Curl       string `json:"curl"`
	Status     int    `json:"status"`
	Response   string `json:"response"`
	DurationMS int64  `json:"duration_ms"`
}

// WriteJSON writes the report as JSON. Requests and responses are those of scenarios that failed.
func (r *Report) WriteJSON(w io.Writer) error {
	c := r.Counts()
	report := jsonReport{
		URL: r.URL, Started: r.Started.UTC(), DurationMS: r.Duration.Milliseconds(), Outcomes: r.Outcomes,
		Driven: c.Driven, Failed: c.Failed, NotDriven: c.NotDriven, NeedFault: c.Faults, Leftovers: r.Leftovers(),
		Results: make([]jsonResult, 0, len(r.Results)),
	}
	for _, result := range r.Results {
		report.Results = append(report.Results, toJSON(result))
	}
	if f := r.Fuzz; f != nil {
		report.Fuzz = &jsonFuzz{
			Seed: f.Seed, Requests: f.Requests, Unprepared: f.Unprepared, Failed: len(f.Failures),
			DurationMS: f.Duration.Milliseconds(), Failures: make([]jsonResult, 0, len(f.Failures)),
		}
		for _, result := range f.Failures {
			report.Fuzz.Failures = append(report.Fuzz.Failures, toJSON(result))
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(report)
}

func toJSON(result *Result) jsonResult {
	s := result.Scenario
	shown := jsonResult{
		ID: s.ID(), Operation: s.Operation.ID, Method: s.Operation.Method, Path: s.Operation.Path, Tag: s.Operation.Tag,
		HTTPStatus: s.Outcome.Status, Outcome: s.Outcome.Outcome, Scenario: s.Position.String(), Result: result.Status,
		Reason: result.Reason, NeedsFault: result.Fault, Differences: result.Differences,
		DurationMS: result.Duration.Milliseconds(),
	}
	if result.Status != StatusFailed {
		return shown
	}
	shown.Script = result.Script()
	for _, e := range result.Exchanges {
		shown.Exchanges = append(shown.Exchanges, jsonExchange{
			Operation: e.Operation, Request: e.Request, Curl: e.Curl, Status: e.Status, Response: e.Response,
			DurationMS: e.Duration.Milliseconds(),
		})
	}
	return shown
}
