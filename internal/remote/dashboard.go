package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"gatehouse/client"
)

// dashboard is the part of the Dashboard API that one user may read.
type dashboard struct {
	key string // the access key
	// organisations are the IDs of the organisations whose objects the user may read. A super user may read all.
	organisations map[string]bool
	super         bool
	lists         map[Kind]*List
}

// close releases the lists.
func (d *dashboard) close() error {
	var errs []error
	for _, list := range d.lists {
		errs = append(errs, list.held.Close())
	}
	return errors.Join(errs...)
}

// mayRead reports whether the user may read the objects of an organisation. Only super users may read super users.
func (d *dashboard) mayRead(organisation string) bool {
	return d.super || d.organisations[organisation]
}

// withKey returns an editor that adds an access key to a request.
func withKey(key string) client.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", key)
		return nil
	}
}

// dashboardDocuments returns the documents of an organisation, read with the first access key that permits it.
func (s *Server) dashboardDocuments(ctx context.Context, kind Kind, organisation string) (*List, error) {
	if err := s.openDashboards(ctx); err != nil {
		return nil, err
	}
	for _, d := range s.dashboards {
		if !d.mayRead(organisation) {
			continue
		}
		if d.lists[kind] == nil {
			list, err := s.receive(ctx, s.dashboardList(ctx, kind, d.key), kind)
			if err != nil {
				return nil, err
			}
			d.lists[kind] = list
		}
		return &List{held: d.lists[kind].held, only: &organisation, shared: true}, nil
	}
	return nil, fmt.Errorf("%w: no access key belongs to a user of organisation %q, or to a super user", ErrLacking,
		organisation)
}

// openDashboards determines which organisations may be read with each access key. The list of users always contains
// the user of the key, and so the user's organisation.
func (s *Server) openDashboards(ctx context.Context) error {
	if s.dashboards != nil {
		return nil
	}
	for i, key := range s.cfg.AccessKeys {
		users, err := s.receive(ctx, s.dashboardList(ctx, User, key), User)
		if err != nil {
			return fmt.Errorf("access key %d: %w", i+1, err)
		}
		d := &dashboard{key: key, organisations: map[string]bool{}, lists: map[Kind]*List{User: users}}
		s.dashboards = append(s.dashboards, d)
		for doc, err := range users.All() {
			if err != nil {
				return err
			}
			d.organisations[OrganisationOf(User, doc)] = true
		}
		d.super = d.organisations[""]
	}
	return nil
}

// dashboardList returns the call that lists objects in the Dashboard API.
func (s *Server) dashboardList(ctx context.Context, kind Kind, key string) call {
	page := all
	switch kind {
	case User:
		return call{"GET /api/users", func() (*http.Response, error) {
			return s.cfg.Client.GetUsers(ctx, &client.GetUsersParams{P: &page}, withKey(key))
		}}
	case API:
		return call{"GET /api/apis", func() (*http.Response, error) {
			oldestFirst := client.GetApisParamsSortCreatedAt // the original lists the newest first by default
			return s.cfg.Client.GetApis(ctx, &client.GetApisParams{P: &page, Sort: &oldestFirst}, withKey(key))
		}}
	default:
		return call{"GET /api/portal/policies", func() (*http.Response, error) {
			return s.cfg.Client.GetPolicies(ctx, &client.GetPoliciesParams{P: &page}, withKey(key))
		}}
	}
}
