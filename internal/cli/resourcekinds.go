package cli

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/spf13/cobra"

	"gatehouse/client"
)

// newOrgs returns the command orgs.
func newOrgs(std Streams) *cobra.Command {
	return newResource(std, &resource{
		command: "orgs", noun: "organisation", nouns: "organisations", example: exampleOrg,
		name: []string{"owner_name"}, member: "organisations",
		columns: []resourceColumn{
			{"ID", []string{"id"}},
			{"NAME", []string{"owner_name"}},
			{"SLUG", []string{"owner_slug"}},
			{"CNAME", []string{"cname"}},
		},
		list: func(ctx context.Context, c *client.ClientWithResponses, _ *resourceFilter) (*http.Response, error) {
			return c.GetOrgs(ctx, &client.GetOrgsParams{})
		},
		get: func(ctx context.Context, c *client.ClientWithResponses, id string) (json.RawMessage, error) {
			return body(c.GetOrgWithResponse(ctx, id))
		},
		remove: func(ctx context.Context, c *client.ClientWithResponses, id string) error {
			_, err := c.DeleteOrgWithResponse(ctx, id)
			return err
		},
		removed: " and everything that belongs to it",
	})
}

// users are the users of a server. Tables do not have their access keys.
func users() *resource {
	return &resource{
		command: "users", noun: "user", nouns: "users", example: exampleUser,
		name: []string{"email_address"}, member: "users",
		columns: []resourceColumn{
			{"ID", []string{"id"}},
			{"EMAIL", []string{"email_address"}},
			{"FIRST NAME", []string{"first_name"}},
			{"LAST NAME", []string{"last_name"}},
			{"ORGANISATION", []string{"org_id"}},
			{"ACTIVE", []string{"active"}},
		},
		list: func(ctx context.Context, c *client.ClientWithResponses, filter *resourceFilter) (*http.Response, error) {
			return c.ListUsers(ctx, &client.ListUsersParams{OrgId: filter.org, Email: filter.email})
		},
		get: func(ctx context.Context, c *client.ClientWithResponses, id string) (json.RawMessage, error) {
			return body(c.GetUserDetailWithResponse(ctx, id))
		},
		remove: func(ctx context.Context, c *client.ClientWithResponses, id string) error {
			_, err := c.RemoveUserWithResponse(ctx, id)
			return err
		},
	}
}

// newAPIs returns the command apis. The admin API has no operation that returns one.
func newAPIs(std Streams) *cobra.Command {
	member := func(name string) []string { return []string{"api_definition", name} }
	return newResource(std, &resource{
		command: "apis", noun: "API", nouns: "APIs", example: "tide-tables", name: member("name"), member: "apis",
		ids: [][]string{member("api_id"), member("id")},
		columns: []resourceColumn{
			{"ID", member("api_id")},
			{"NAME", member("name")},
			{"ORGANISATION", member("org_id")},
			{"LISTEN PATH", []string{"api_definition", "proxy", "listen_path"}},
			{"ACTIVE", member("active")},
		},
		list: func(ctx context.Context, c *client.ClientWithResponses, filter *resourceFilter) (*http.Response, error) {
			return c.ExportAPIs(ctx, &client.ExportAPIsParams{OrgId: filter.org})
		},
		remove: func(ctx context.Context, c *client.ClientWithResponses, id string) error {
			_, err := c.RemoveAPIWithResponse(ctx, id)
			return err
		},
	})
}

// newPolicies returns the command policies. The admin API has no operation that returns one.
func newPolicies(std Streams) *cobra.Command {
	return newResource(std, &resource{
		command: "policies", noun: "policy", nouns: "policies", example: "three-a-minute",
		name: []string{"name"}, member: "Data",
		ids: [][]string{{"id"}, {"_id"}},
		columns: []resourceColumn{
			{"ID", []string{"id"}},
			{"NAME", []string{"name"}},
			{"ORGANISATION", []string{"org_id"}},
			{"ACTIVE", []string{"active"}},
		},
		list: func(ctx context.Context, c *client.ClientWithResponses, filter *resourceFilter) (*http.Response, error) {
			return c.ExportPolicies(ctx, &client.ExportPoliciesParams{OrgId: filter.org})
		},
		remove: func(ctx context.Context, c *client.ClientWithResponses, id string) error {
			_, err := c.RemovePolicyWithResponse(ctx, id)
			return err
		},
	})
}

// newNodes returns the command nodes. A gateway registers and signs off by itself.
func newNodes(std Streams) *cobra.Command {
	return newResource(std, &resource{
		command: "nodes", noun: "gateway", nouns: "gateways", example: "f1a8ab29-4d8e-4b4c-8b1f-7c5c0e5b6a10",
		member: "nodes",
		ids:    [][]string{{"id"}},
		columns: []resourceColumn{
			{"ID", []string{"id"}},
			{"HOST", []string{"hostname"}},
			{"FIRST SEEN", []string{"first_seen"}},
			{"LAST SEEN", []string{"last_seen"}},
			{"BEHIND", []string{"behind"}},
		},
		list: func(ctx context.Context, c *client.ClientWithResponses, _ *resourceFilter) (*http.Response, error) {
			return c.ListNodes(ctx)
		},
	})
}

// The IDs in examples.
const (
	exampleOrg  = "5e9d9544a1dcd60001d0ed20"
	exampleUser = "5e9d9544a1dcd60001d0ed21"
)

// body returns the body of a response.
func body[R interface{ GetBody() []byte }](response R, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	return response.GetBody(), nil
}
