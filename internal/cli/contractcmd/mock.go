package contractcmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/conformance"
	"gatehouse/internal/config"
)

// mockOptions are the flags of contract mock.
type mockOptions struct {
	Listen  string   `flag:"listen" default:"127.0.0.1:4010" help:"Address to listen on, as host:port."`
	Files   []string `flag:"contract" help:"OpenAPI 3.0 file in YAML or JSON. Can be repeated. Default: the contracts of gatehouse."`
	MaxBody int64    `flag:"max-body" default:"16777216" help:"Maximum size of the body of a request, in bytes."`
	Quiet   bool     `flag:"quiet" help:"Print no line for each request."`
}

// rejections are outcomes in gatehouse's contracts. Other contracts have their first response with the usual status.
var rejections = conformance.Rejections{
	NoCredential: "unauthorised", EmptyBody: "empty_body", MalformedBody: "malformed", TooLarge: "too_large",
	MissingParameter: "missing_parameter", BadParameter: "bad_parameter",
}

// newMock returns the command contract mock.
func newMock(cfg Config) *cobra.Command {
	var options mockOptions
	cmd := &cobra.Command{
		Use:   "mock",
		Short: "Answer requests with the contract's examples, without a database.",
		Long: `Ctrl-C stops the mock.

Every operation answers with its example of success, for any credential. A request without a
credential, or with parameters or a body that do not match the contract, gets the response that the
contract documents for it; the header Mock-Reason says what is wrong. The request header Prefer
chooses another response, by name or by status:

  curl -H 'Prefer: example=not_found' http://127.0.0.1:4010/admin/users/x
  curl -H 'Prefer: code=403' http://127.0.0.1:4010/admin/users/x`,
		Example: `  gatehouse contract mock
  gatehouse contract mock --listen 127.0.0.1:4011 --contract openapi/admin.yaml`,
		RunE: runs(func(cmd *cobra.Command, _ []string) error {
			if err := checkMaxBody(options.MaxBody); err != nil {
				return err
			}
			contracts, err := cfg.contracts(options.Files)
			if err != nil {
				return err
			}
			requests := &lines{out: cfg.Out}
			mock, err := conformance.NewMock(conformance.MockConfig{
				Spec: contracts.spec, Contracts: contracts.compiled, Rejections: rejections, MaxBody: options.MaxBody,
				Answered: func(answer conformance.MockAnswer) {
					if !options.Quiet {
						requests.printf("%s", describeAnswer(answer))
					}
				},
			})
			if err != nil {
				return err
			}
			return listening{
				address: options.Listen, handler: mock, announce: "mock listens on %s", out: cfg.Out,
			}.serve(cmd.Context())
		}),
	}
	config.Bind(cmd.Flags(), &options)
	return cmd
}

// describeAnswer formats an answer as a line.
func describeAnswer(answer conformance.MockAnswer) string {
	line := strings.TrimSpace(fmt.Sprintf("%s %s %d %s", answer.Method, answer.Path, answer.Status, answer.Outcome))
	if answer.Reason != "" {
		line += ": " + answer.Reason
	}
	return line
}
