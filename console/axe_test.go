package console_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gatehouse/internal/browsertest"
	"gatehouse/internal/testprogram"
)

// TestAxe has axe-core look for barriers on every view (views_test.go), at 360 and at 1440 pixels, light and dark. It
// accepts none that is serious or critical.
func TestAxe(t *testing.T) {
	t.Parallel()
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		testprogram.Missing(t, "axe-core: npm ci --prefix console")
	}
	for _, view := range views(t) {
		t.Run(view.name, func(t *testing.T) {
			t.Parallel()
			tab := view.open(t)
			browsertest.Eval[any](tab, string(axe)+"\n;0")
			for _, scheme := range []string{"light", "dark"} {
				for _, width := range []int64{1440, 360} {
					tab.Colours(scheme)
					tab.Size(width, 900)
					for _, finding := range browsertest.Eval[[]string](tab, runAxe) {
						assert.Fail(t, finding, "%s, %s, %d pixels", view.name, scheme, width)
					}
					require.LessOrEqual(t, browsertest.Eval[int64](tab, `document.documentElement.scrollWidth`), width,
						"%s scrolls sideways at %d pixels", view.name, width)
				}
			}
		})
	}
}

// runAxe returns what axe-core finds, a line each. Frames are pages of their own.
const runAxe = `axe.run(document, {iframes: false, resultTypes: ['violations']}).then(({violations}) => violations
	.filter((v) => ['serious', 'critical'].includes(v.impact))
	.flatMap((v) => v.nodes.map((n) => v.impact + ': ' + v.help + ': ' + n.html.slice(0, 200) + ' ' + n.failureSummary)))`
