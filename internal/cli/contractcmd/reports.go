package contractcmd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"gatehouse/conformance"
)

// reportOptions are the flags of the reports.
type reportOptions struct {
	JUnit string `flag:"junit" help:"File for a report in JUnit's XML, which CI systems read."`
	JSON  string `flag:"json" help:"File for a report in JSON."`
	HTML  string `flag:"html" help:"File for a page of the coverage: operations, statuses and examples."`
}

// reports are the open files of reports. They are opened before a run, so that none is lost for a mistyped path.
type reports struct{ junit, json, html *os.File }

func (o *reportOptions) open() (*reports, error) {
	r := &reports{}
	for _, each := range []struct {
		path string
		file **os.File
	}{{o.JUnit, &r.junit}, {o.JSON, &r.json}, {o.HTML, &r.html}} {
		if each.path == "" {
			continue
		}
		var err error
		if *each.file, err = os.Create(each.path); err != nil {
			r.close()
			return nil, fmt.Errorf("open the report: %w", err)
		}
	}
	return r, nil
}

// close closes the files, for a run that ended without a report.
func (r *reports) close() {
	for _, file := range []*os.File{r.junit, r.json, r.html} {
		if file != nil {
			_ = file.Close() // write has reported an error
		}
	}
}

// write writes the reports to their files, and the text to out.
func (r *reports) write(report *conformance.Report, out io.Writer) error {
	var errs []error
	for _, each := range []struct {
		file  *os.File
		write func(io.Writer) error
	}{{r.junit, report.WriteJUnit}, {r.json, report.WriteJSON}, {r.html, report.WriteHTML}} {
		if each.file != nil {
			errs = append(errs, each.write(each.file), each.file.Close())
		}
	}
	if err := errors.Join(append(errs, report.WriteText(out))...); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
