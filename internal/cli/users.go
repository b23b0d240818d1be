package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/client"
	"gatehouse/internal/cli/output"
	"gatehouse/internal/config"
)

// newUsers returns the command users.
func newUsers(std Streams) *cobra.Command {
	return newResource(std, users(), newUsersCreate(std), newUsersResetAccessKey(std), newUsersSetPassword(std),
		newUsersResetPasswords(std, true), newUsersResetPasswords(std, false))
}

// aboutSecrets is a part of the help of users list and users get.
func (r *resource) aboutSecrets() string {
	if r.command != "users" {
		return ""
	}
	return "\nThe formats json and yaml have the access keys of users; a table does not.\n"
}

// ofOrganisation reports whether the objects belong to organisations.
func (r *resource) ofOrganisation() bool {
	return slices.ContainsFunc(r.columns, func(c resourceColumn) bool { return c.heading == "ORGANISATION" })
}

// withAccessKeys are users with their access keys, for commands that make one.
func withAccessKeys() *resource {
	r := users()
	r.columns = []resourceColumn{
		{"ID", []string{"id"}},
		{"EMAIL", []string{"email_address"}},
		{"ORGANISATION", []string{"org_id"}},
		{"ACCESS KEY", []string{"access_key"}},
	}
	return r
}

// newUser is the user that users create makes.
type newUser struct {
	org, email, firstName, lastName, group string
	permissions                            map[string]string
	inactive                               bool
}

func newUsersCreate(std Streams) *cobra.Command {
	var cfg config.Config
	var u newUser
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a user, and print the access key.",
		Long: `Without --permission and --group, the user is an administrator of the organisation. The user has no
password: "gatehouse users set-password" sets one.
` + aboutServer,
		Example: `  gatehouse users create --org ` + exampleOrg + ` --email ines@rivermouth.example
  gatehouse users create --org "" --email kofi@rivermouth.example --permission apis=read`,
	}
	format := output.AddFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&u.org, "org", "", `ID of the organisation. "" makes a super user, who belongs to none. Required.`)
	flags.StringVar(&u.email, "email", "", "E-mail address, which must be new in the organisation. Required.")
	flags.StringVar(&u.firstName, "first-name", "", "Given name.")
	flags.StringVar(&u.lastName, "last-name", "", "Family name.")
	flags.StringToStringVar(&u.permissions, "permission", nil,
		"Permission as `NAME=LEVEL`, such as apis=read or IsAdmin=admin. Repeat it for more.")
	flags.Lookup("permission").DefValue = "" // pflag prints [] for it
	flags.StringVar(&u.group, "group", "", "ID of a user group of the organisation, whose permissions the user has, too.")
	flags.BoolVar(&u.inactive, "inactive", false, "The access key does not work yet.")
	local := addLocalFlags(cmd, &cfg, std)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, required := range []string{"org", "email"} {
			if !flags.Changed(required) {
				return usage(fmt.Errorf("--%s is required%s", required, hint(cmd, nil)))
			}
		}
		return local.with(cmd.Context(), func(c *client.ClientWithResponses) error {
			created, err := c.CreateUserWithResponse(cmd.Context(), u.request())
			if err != nil {
				return err
			}
			return writeUser(std, *format, created.Body)
		})
	}
	return cmd
}

// request returns the body of the request that creates the user.
func (u *newUser) request() client.UserRequest {
	request := client.UserRequest{
		OrgId: &u.org, EmailAddress: &u.email, FirstName: &u.firstName, LastName: &u.lastName, Active: new(!u.inactive),
	}
	if u.group != "" {
		request.GroupId = &u.group
		request.UserPermissions = &map[string]string{}
	}
	if u.permissions != nil {
		request.UserPermissions = &u.permissions
	}
	return request
}

// writeUser writes the user in a response, with the access key.
func writeUser(std Streams, format output.Format, response []byte) error {
	var reply struct{ Meta json.RawMessage }
	if err := json.Unmarshal(response, &reply); err != nil {
		return err
	}
	return withAccessKeys().writeOne(std.Out, format, reply.Meta)
}

// accessKeyBytes is the length of a new access key, which is written as 32 hexadecimal digits, as the server does.
const accessKeyBytes = 16

func newUsersResetAccessKey(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "reset-access-key ID",
		Short: "Give a user a new access key, and print it.",
		Long: `The old key does not work from then on.
` + aboutServer + aboutStatus,
		Example: "  gatehouse users reset-access-key " + exampleUser,
		Args:    oneID,
	}
	format := output.AddFlag(cmd)
	local := addLocalFlags(cmd, &cfg, std)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key := make([]byte, accessKeyBytes)
		_, _ = rand.Read(key) // never fails
		return local.with(cmd.Context(), func(c *client.ClientWithResponses) error {
			changed, err := changeUser(cmd.Context(), c, args[0], client.UserRequest{AccessKey: new(hex.EncodeToString(key))})
			if err != nil {
				return err
			}
			return writeUser(std, *format, changed)
		})
	}
	return cmd
}

func newUsersSetPassword(std Streams) *cobra.Command {
	var cfg config.Config
	cmd := &cobra.Command{
		Use:   "set-password ID",
		Short: "Set the password of a user.",
		Long: `On a terminal, the command asks for the password without showing it. Elsewhere the password is the
first line of standard input.
` + aboutServer + aboutStatus,
		Example: "  gatehouse users set-password " + exampleUser + "\n  gatehouse users set-password " + exampleUser +
			" < password-file",
		Args: oneID,
	}
	local := addLocalFlags(cmd, &cfg, std)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		password, err := readPassword(cmd.Context(), cmd.InOrStdin(), std.Log)
		if err != nil {
			return err
		}
		if password == "" {
			return errors.New("the password is empty: nothing was changed")
		}
		return local.with(cmd.Context(), func(c *client.ClientWithResponses) error {
			if _, err := changeUser(cmd.Context(), c, args[0], client.UserRequest{Password: &password}); err != nil {
				return err
			}
			fmt.Fprintf(std.Out, "set the password of user %s\n", args[0])
			return nil
		})
	}
	return cmd
}

// changeUser sets the password or the access key in changes, and returns the response. The admin API replaces a whole
// user: what else there is stays as it was a moment before.
func changeUser(
	ctx context.Context, c *client.ClientWithResponses, id string, changes client.UserRequest,
) ([]byte, error) {
	found, err := c.GetUserDetailWithResponse(ctx, id)
	if err != nil {
		return nil, users().orUnknown(err, id)
	}
	user := found.JSON200
	changes.Active, changes.EmailAddress = &user.Active, &user.EmailAddress
	changes.FirstName, changes.LastName, changes.GroupId = &user.FirstName, &user.LastName, &user.GroupId
	changes.OrgId, changes.PasswordMaxDays = &user.OrgId, &user.PasswordMaxDays
	changes.UserPermissions = &user.UserPermissions
	changed, err := c.UpdateUserWithResponse(ctx, id, changes)
	if err != nil {
		return nil, users().orUnknown(err, id)
	}
	return changed.Body, nil
}

// newUsersResetPasswords returns the command users allow-reset-passwords or, unless allow, its opposite.
func newUsersResetPasswords(std Streams, allow bool) *cobra.Command {
	var cfg config.Config
	name, done := "disallow-reset-passwords", "may not set"
	call := func(ctx context.Context, c *client.ClientWithResponses, id string) error {
		_, err := c.DisallowResetPasswordWithResponse(ctx, id)
		return err
	}
	if allow {
		name, done = "allow-reset-passwords", "may set"
		call = func(ctx context.Context, c *client.ClientWithResponses, id string) error {
			_, err := c.AllowResetPasswordWithResponse(ctx, id)
			return err
		}
	}
	verb, _, _ := strings.Cut(name, "-")
	cmd := &cobra.Command{
		Use:     name + " ID",
		Short:   strings.ToUpper(verb[:1]) + verb[1:] + " an administrator to set the passwords of other users.",
		Long:    "It is the permission ResetPassword, which counts for administrators.\n" + aboutServer + aboutStatus,
		Example: "  gatehouse users " + name + " " + exampleUser,
		Args:    oneID,
	}
	local := addLocalFlags(cmd, &cfg, std)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return local.with(cmd.Context(), func(c *client.ClientWithResponses) error {
			if err := call(cmd.Context(), c, args[0]); err != nil {
				return users().orUnknown(err, args[0])
			}
			fmt.Fprintf(std.Out, "user %s %s the passwords of other users\n", args[0], done)
			return nil
		})
	}
	return cmd
}
