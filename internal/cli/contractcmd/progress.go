package contractcmd

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"gatehouse/conformance"
)

// progress shows on a terminal how far a run is, and nothing elsewhere.
type progress struct {
	terminal io.Writer // nil unless there is a terminal
	bar      *progressbar.ProgressBar
}

// redraw is the time between two updates of the bar, which a reader can still follow.
const redraw = 100 * time.Millisecond

func newProgress(out io.Writer) *progress {
	file, isFile := out.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return &progress{}
	}
	return &progress{terminal: out}
}

// show is called after each scenario.
func (p *progress) show(state conformance.Progress) {
	if p.terminal == nil {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions(state.Total, progressbar.OptionSetWriter(p.terminal), progressbar.OptionShowCount(),
			progressbar.OptionThrottle(redraw), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth(),
			progressbar.OptionSetPredictTime(false))
	}
	p.bar.Describe(fmt.Sprintf("%-20.20s", state.Result.Scenario.Operation.ID))
	_ = p.bar.Set(state.Done) // a terminal that is gone is no reason to end the run
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish() // see show
	}
}
