package server

import (
	"errors"
	"slices"
	"time"

	"gatehouse/apiserver"
	"gatehouse/contract"
	"gatehouse/gen/admin"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/internal/password"
	"gatehouse/store"
)

// GetSystemStats implements dashboard.Handlers.
func (s *Server) GetSystemStats(r *request, params dashboard.GetSystemStatsParams) dashboard.GetSystemStatsReply {
	var reply dashboard.GetSystemStatsReplies
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	today := s.now().UTC().Format(time.DateOnly)
	within, err := isWithin(today, valueOf(params.StartDay), valueOf(params.EndDay))
	switch {
	case err != nil:
		return reply.BadParameter(err)
	case !within:
		return reply.NotFound(nil)
	}
	var stats dashboard.EntityStats
	none := dashboard.UsageOfDays{}
	switch valueOf(params.Entity) {
	case dashboard.GetSystemStatsParamsEntityDataplanes:
		stats.Dataplanes = &none
	case dashboard.GetSystemStatsParamsEntityDataplanesGateways:
		stats.DataplanesGateways = &none
	default:
		usage, err := s.store.APIUsage(r.Context(), caller.scope())
		if err != nil {
			return reply.Failed(err)
		}
		stats.Apis = &dashboard.UsageOfDays{toIndividualStats(usage, today)}
	}
	return reply.OK(dashboard.SystemStats{Status: "Success", Stats: stats})
}

// isWithin reports whether a day is in a period, of which both ends may be "". It returns an apiserver.MalformedError
// for an end that is no day.
func isWithin(day, start, end string) (bool, error) {
	for name, value := range map[string]string{"start_day": start, "end_day": end} {
		if _, err := time.Parse(time.DateOnly, value); value != "" && err != nil {
			return false, apiserver.MalformedAt(contract.Pointer(name), "is no day", err)
		}
	}
	return start <= day && (end == "" || day <= end), nil
}

// toIndividualStats returns how many APIs there are on a day of which only the present is known.
func toIndividualStats(usage store.APIUsage, day string) dashboard.IndividualStats {
	return dashboard.IndividualStats{
		Date: day, MinUsage: usage.Total, AvgUsage: usage.Total, MaxUsage: usage.Total,
		MinActiveUsage: usage.Active, AvgActiveUsage: usage.Active, MaxActiveUsage: usage.Active,
	}
}

// nodesFor returns the gateways of the installation for a user: they belong to no organisation.
func (s *Server) nodesFor(r *request) ([]store.Node, error) {
	if _, err := callerOf(r); err != nil {
		return nil, err
	}
	return s.store.Nodes(r.Context())
}

// GetSystemNodes implements dashboard.Handlers.
func (s *Server) GetSystemNodes(r *request) dashboard.GetSystemNodesReply {
	var reply dashboard.GetSystemNodesReplies
	nodes, err := s.nodesFor(r)
	if err != nil {
		return reply.Failed(err)
	}
	shown := dashboard.SystemNodesData{Nodes: make([]dashboard.SystemNode, 0, len(nodes)), ActiveNodeCount: len(nodes)}
	for _, node := range nodes {
		shown.Nodes = append(shown.Nodes, toSystemNode(node))
	}
	return reply.OK(dashboard.SystemNodes{Data: shown})
}

func toSystemNode(n store.Node) dashboard.SystemNode {
	return dashboard.SystemNode{
		Id: n.ID, Hostname: n.Hostname, FirstSeen: n.FirstSeen.UTC(), LastSeen: n.LastSeen.UTC(),
		PoliciesFetched: utc(n.PoliciesFetched), ApisFetched: utc(n.APIsFetched), Behind: n.Behind,
	}
}

// GetSystemNode implements dashboard.Handlers.
func (s *Server) GetSystemNode(
	r *request, nodeID dashboard.NodeID, hostname dashboard.Hostname,
) dashboard.GetSystemNodeReply {
	var reply dashboard.GetSystemNodeReplies
	nodes, err := s.nodesFor(r)
	if err != nil {
		return reply.Failed(err)
	}
	isWanted := func(node store.Node) bool { return node.ID == nodeID && node.Hostname == hostname }
	if !slices.ContainsFunc(nodes, isWanted) {
		return reply.NotFound(nil)
	}
	return reply.OK(dashboard.SystemNodeDetail{
		Data: dashboard.GatewayConfiguration{DbAppConfOptions: dashboard.GatewayAppOptions{Tags: []string{}}},
	})
}

// SetLicense implements dashboard.Handlers.
func (s *Server) SetLicense(*request) dashboard.SetLicenseReply {
	return dashboard.SetLicenseReplies{}.OK()
}

// SetAdminLicense implements admin.Handlers.
func (s *Server) SetAdminLicense(*request) admin.SetAdminLicenseReply {
	return admin.SetAdminLicenseReplies{}.OK()
}

// errBootstrapped is returned when there is an organisation already.
var errBootstrapped = errors.New("an organisation exists")

// Bootstrap implements dashboard.Handlers.
func (s *Server) Bootstrap(r *request) dashboard.BootstrapReply {
	var reply dashboard.BootstrapReplies
	if !s.security.Bootstrap {
		return reply.Disabled(nil)
	}
	user, err := s.bootstrap(r)
	if err != nil {
		// A password that is being hashed is that of another bootstrap.
		late := apiserver.On(reply.Conflict, errBootstrapped, store.ErrConflict, password.ErrBusy)
		return apiserver.ReplyError(reply, err, malformed(reply), invalid(reply), late)
	}
	return reply.OK(user.AccessKey, toUser(user))
}

// bootstrapAccount is the account that the password of a bootstrap is hashed for: one at a time.
const bootstrapAccount = "bootstrap"

// bootstrap creates the first organisation and its administrator as the form says.
func (s *Server) bootstrap(r *request) (store.User, error) {
	form := r.Body.Form
	user, err := bootstrapUser(form.Get)
	if err != nil {
		return store.User{}, err
	}
	if err := s.checkPolicy("/password", form.Get("password")); err != nil {
		return store.User{}, err
	}
	// Before the password is hashed, which costs more.
	exist, err := s.store.HasOrganisations(r.Context())
	if err == nil && exist {
		err = errBootstrapped
	}
	if err != nil {
		return store.User{}, err
	}
	if user.PasswordHash, err = s.passwords.Hash(r.Context(), bootstrapAccount, form.Get("password")); err != nil {
		return store.User{}, err
	}
	org := jsondoc.Object([]jsondoc.Member{
		jsondoc.NewMember("owner_name", jsondoc.Quote(form.Get("owner_name"))),
		jsondoc.NewMember("owner_slug", jsondoc.Quote(form.Get("owner_slug"))),
	})
	return s.store.Bootstrap(r.Context(), toOrganisation("", org), user)
}

// bootstrapUser returns the administrator in a form whose fields get returns.
func bootstrapUser(get func(string) string) (store.UserParams, error) {
	user := store.UserParams{
		FirstName: get("first_name"), LastName: get("last_name"), EmailAddress: get("email_address"), Active: true,
		UserPermissions: defaultPermissions(),
	}
	confirmed := get("confirm_password")
	switch {
	case get("owner_name") == "":
		return user, apiserver.MalformedAt("/owner_name", "is absent", nil)
	case !isEmailAddress(user.EmailAddress):
		return user, invalidAt("/email_address", "is no e-mail address")
	case confirmed != "" && confirmed != get("password"):
		return user, apiserver.MalformedAt("/confirm_password", "differs from the password", nil)
	case len(get("password")) > maxPassword:
		return user, apiserver.MalformedAt("/password", "is too long", nil)
	}
	return user, nil
}
