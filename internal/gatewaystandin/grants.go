package gatewaystandin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// applyPoliciesOfAPIs gives a new session what its policies grant. Like a gateway, it compares the organisation of a
// policy with that of each API that the policy grants access to, and not with that of the key.
func (s *state) applyPoliciesOfAPIs(to *session) error {
	if err := applyPolicies(to, nil, s.policy); err != nil {
		return err
	}
	apis := s.config()
	for id := range to.AccessRights {
		if api := apis.byID(id); api != nil {
			if err := applyPolicies(to, &api.OrgID, s.policy); err != nil {
				return err
			}
		}
	}
	return nil
}

// applyPolicies gives a session what its policies grant. They have to be of the organisation, unless orgID is nil. find
// returns a policy by its effective ID. Policies in the session's meta_data, where those that were applied before may
// have put them, count in place of all that. The errors are the gateway's texts.
func applyPolicies(s *session, orgID *string, find func(id string) (policy, bool)) error {
	ids := s.policyIDs()
	if embedded, ok := s.embeddedPolicies(); ok {
		ids = slices.Sorted(maps.Keys(embedded))
		find = func(id string) (policy, bool) { return embedded[id], true }
	}
	if len(ids) == 0 {
		return nil
	}
	granted := grant{rights: map[string]accessDefinition{}, metaData: map[string]any{}}
	for _, id := range ids {
		each, found := find(id)
		if !found {
			return fmt.Errorf("policy not found: %q", id)
		}
		if orgID != nil && each.OrgID != *orgID {
			return errors.New("attempting to apply policy from different organisation, skipping")
		}
		if err := granted.add(id, each); err != nil {
			return err
		}
	}
	if len(granted.rights) == 0 {
		return errors.New("key has no valid policies to be applied")
	}
	granted.apply(s)
	return nil
}

// embeddedPolicies returns the policies in the session's meta_data by their IDs.
func (s *session) embeddedPolicies() (policies map[string]policy, ok bool) {
	list, ok := s.MetaData["policies"].([]any)
	if !ok {
		return nil, false
	}
	var decoded []policy
	if data, err := json.Marshal(list); err == nil {
		_ = json.Unmarshal(data, &decoded) // as a gateway does
	}
	policies = map[string]policy{}
	for _, each := range decoded {
		policies[each.ID] = each
	}
	return policies, true
}

// grant is what several policies grant together: of each limit the most generous.
type grant struct {
	rights                 map[string]accessDefinition
	rate, per              float64
	quotaMax, quotaRenewal int64
	hasRate, hasQuota      bool
	inactive               bool
	metaData               map[string]any
}

func (g *grant) add(id string, from policy) error {
	parts := from.Partitions
	partitioned := parts.Quota || parts.RateLimit || parts.Complexity || parts.Acl
	if parts.PerAPI && partitioned {
		return fmt.Errorf("cannot apply policy %s which has per_api and any of partitions set", id)
	}
	if !partitioned || parts.Acl {
		g.addRights(from)
	}
	if !parts.PerAPI && (!partitioned || parts.RateLimit) {
		g.addRate(from.Rate, from.Per)
	}
	if !parts.PerAPI && (!partitioned || parts.Quota) {
		g.addQuota(from.QuotaMax, from.QuotaRenewalRate)
	}
	g.inactive = g.inactive || from.IsInactive
	maps.Copy(g.metaData, from.MetaData)
	return nil
}

// addRights adds the policy's access rights. With per_api, an API without a limit of its own gets the policy's.
func (g *grant) addRights(from policy) {
	rights := maps.Clone(from.AccessRights)
	for apiID, right := range rights {
		if from.Partitions.PerAPI && right.Limit == nil {
			right.Limit = &apiLimit{
				Rate: from.Rate, Per: from.Per, QuotaMax: from.QuotaMax, QuotaRenewalRate: from.QuotaRenewalRate,
			}
			rights[apiID] = right
		}
	}
	maps.Copy(g.rights, rights)
}

func (g *grant) addRate(rate, per float64) {
	if !g.hasRate || perSecond(rate, per) > perSecond(g.rate, g.per) {
		g.rate, g.per, g.hasRate = rate, per, true
	}
}

func perSecond(rate, per float64) float64 {
	if per <= 0 {
		return 0
	}
	return rate / per
}

func (g *grant) addQuota(limit, renewal int64) {
	unlimited := g.hasQuota && g.quotaMax <= 0
	if !g.hasQuota || (!unlimited && (limit <= 0 || limit > g.quotaMax)) {
		g.quotaMax, g.quotaRenewal, g.hasQuota = limit, renewal, true
	}
}

func (g *grant) apply(s *session) {
	s.AccessRights = g.rights
	if g.hasRate {
		s.Rate, s.Per, s.Allowance = g.rate, g.per, g.rate
	}
	if g.hasQuota {
		s.QuotaMax, s.QuotaRenewalRate = g.quotaMax, g.quotaRenewal
	}
	s.IsInactive = s.IsInactive || g.inactive
	if s.MetaData == nil {
		s.MetaData = map[string]any{}
	}
	maps.Copy(s.MetaData, g.metaData)
}
