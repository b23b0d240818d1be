package server

import (
	"errors"

	"gatehouse/apiserver"
	"gatehouse/gen/dashboard"
	"gatehouse/internal/jsondoc"
	"gatehouse/store"
)

// What the developer portal consists of.
var (
	portalConfiguration = objectKind{
		name: "portal_configuration", create: "createPortalConfiguration", replace: "updatePortalConfiguration", id: "id",
	}
	portalCatalogue = objectKind{
		name: "portal_catalogue", create: "createPortalCatalogue", replace: "updatePortalCatalogue", id: "id",
		lists: []string{"apis"},
	}
	portalMenus = objectKind{name: "portal_menus", create: "createPortalMenus", replace: "updatePortalMenus", id: "id"}
	portalCSS   = objectKind{name: "portal_css", create: "createPortalCSS", replace: "updatePortalCSS", id: "id"}

	portalPage          = objectKind{name: "portal_page", create: "createPortalPage", id: "id"}
	portalDocumentation = objectKind{name: "portal_documentation", create: "createPortalDocumentation", id: "id"}
)

// GetPortalConfiguration implements dashboard.Handlers.
func (s *Server) GetPortalConfiguration(
	r *request, params dashboard.GetPortalConfigurationParams,
) dashboard.GetPortalConfigurationReply {
	return replyOnly(s, r, dashboard.GetPortalConfigurationReplies{}, portalConfiguration.of(params.OrgId))
}

// CreatePortalConfiguration implements dashboard.Handlers.
func (s *Server) CreatePortalConfiguration(r *request) dashboard.CreatePortalConfigurationReply {
	return replyCreated(s, r, dashboard.CreatePortalConfigurationReplies{}, portalConfiguration)
}

// UpdatePortalConfiguration implements dashboard.Handlers.
func (s *Server) UpdatePortalConfiguration(r *request) dashboard.UpdatePortalConfigurationReply {
	return replyOnlyReplaced(s, r, dashboard.UpdatePortalConfigurationReplies{}, portalConfiguration)
}

// GetPortalCatalogue implements dashboard.Handlers.
func (s *Server) GetPortalCatalogue(
	r *request, params dashboard.GetPortalCatalogueParams,
) dashboard.GetPortalCatalogueReply {
	return replyOnly(s, r, dashboard.GetPortalCatalogueReplies{}, portalCatalogue.of(params.OrgId))
}

// CreatePortalCatalogue implements dashboard.Handlers.
func (s *Server) CreatePortalCatalogue(r *request) dashboard.CreatePortalCatalogueReply {
	return replyCreated(s, r, dashboard.CreatePortalCatalogueReplies{}, portalCatalogue)
}

// UpdatePortalCatalogue implements dashboard.Handlers.
func (s *Server) UpdatePortalCatalogue(r *request) dashboard.UpdatePortalCatalogueReply {
	return replyOnlyReplaced(s, r, dashboard.UpdatePortalCatalogueReplies{}, portalCatalogue)
}

// GetPortalMenus implements dashboard.Handlers.
func (s *Server) GetPortalMenus(
	r *request, params dashboard.GetPortalMenusParams,
) dashboard.GetPortalMenusReply {
	return replyOnly(s, r, dashboard.GetPortalMenusReplies{}, portalMenus.of(params.OrgId))
}

// CreatePortalMenus implements dashboard.Handlers.
func (s *Server) CreatePortalMenus(r *request) dashboard.CreatePortalMenusReply {
	return replyCreated(s, r, dashboard.CreatePortalMenusReplies{}, portalMenus)
}

// UpdatePortalMenus implements dashboard.Handlers.
func (s *Server) UpdatePortalMenus(r *request) dashboard.UpdatePortalMenusReply {
	return replyOnlyReplaced(s, r, dashboard.UpdatePortalMenusReplies{}, portalMenus)
}

// GetPortalCSS implements dashboard.Handlers.
func (s *Server) GetPortalCSS(
	r *request, params dashboard.GetPortalCSSParams,
) dashboard.GetPortalCSSReply {
	return replyOnly(s, r, dashboard.GetPortalCSSReplies{}, portalCSS.of(params.OrgId))
}

// CreatePortalCSS implements dashboard.Handlers.
func (s *Server) CreatePortalCSS(r *request) dashboard.CreatePortalCSSReply {
	return replyCreated(s, r, dashboard.CreatePortalCSSReplies{}, portalCSS)
}

// UpdatePortalCSS implements dashboard.Handlers.
func (s *Server) UpdatePortalCSS(r *request) dashboard.UpdatePortalCSSReply {
	return replyOnlyReplaced(s, r, dashboard.UpdatePortalCSSReplies{}, portalCSS)
}

// replyOnly replies with the only object of a kind that the caller's organisation has.
func replyOnly[R any](s *Server, r *request, replies documentReplies[R], which objectRef) R {
	which.id = which.kind.name
	return replyObject(s, r, replies, which)
}

// replyOnlyReplaced replaces the only object of a kind that an organisation has.
func replyOnlyReplaced[R any](s *Server, r *request, replies replacementReplies[R], kind objectKind) R {
	_, err := s.replaceOnly(r, kind)
	return replyReplaced(replies, err)
}

// UpdatePortalCNAME implements dashboard.Handlers.
func (s *Server) UpdatePortalCNAME(r *request) dashboard.UpdatePortalCNAMEReply {
	var reply dashboard.UpdatePortalCNAMEReplies
	sent, err := apiserver.Decode[dashboard.PortalCNAME](r)
	if err != nil {
		return apiserver.ReplyError(reply, err, malformed(reply))
	}
	caller, err := callerOf(r)
	if err != nil {
		return reply.Failed(err)
	}
	orgID := caller.user.OrgID
	if caller.user.IsSuperUser() {
		orgID = valueOf(sent.OrgId)
	}
	err = s.store.EditOrganisation(r.Context(), orgID, func(row store.Row) store.Organisation {
		doc := jsondoc.Set(s.withDefaults(row), "cname", jsondoc.Quote(sent.Cname))
		return toOrganisation(orgID, doc)
	})
	if errors.Is(err, store.ErrConflict) {
		err = store.ErrConflict // without the other organisation, which the caller may not see
	}
	return replyReplaced(reply, err, conflict(reply))
}

// GetPortalPages implements dashboard.Handlers.
func (s *Server) GetPortalPages(
	r *request, params dashboard.GetPortalPagesParams,
) dashboard.GetPortalPagesReply {
	filter := store.ObjectFilter{Kind: portalPage.name, Page: s.page(params.P, firstPage)}
	return replyObjects(s, r, dashboard.GetPortalPagesReplies{}, filter)
}

// CreatePortalPage implements dashboard.Handlers.
func (s *Server) CreatePortalPage(r *request) dashboard.CreatePortalPageReply {
	return replyCreated(s, r, dashboard.CreatePortalPageReplies{}, portalPage)
}

// GetPortalPage implements dashboard.Handlers.
func (s *Server) GetPortalPage(r *request, pageID dashboard.PageID) dashboard.GetPortalPageReply {
	return replyObject(s, r, dashboard.GetPortalPageReplies{}, portalPage.at(pageID))
}

// UpdatePortalPage implements dashboard.Handlers.
func (s *Server) UpdatePortalPage(r *request, pageID dashboard.PageID) dashboard.UpdatePortalPageReply {
	_, err := s.replaceObject(r, portalPage.at(pageID))
	return replyReplaced(dashboard.UpdatePortalPageReplies{}, err)
}

// DeletePortalPage implements dashboard.Handlers.
func (s *Server) DeletePortalPage(r *request, pageID dashboard.PageID) dashboard.DeletePortalPageReply {
	return replyDeleted(dashboard.DeletePortalPageReplies{}, s.deleteObject(r, portalPage.at(pageID)))
}

// CreatePortalDocumentation implements dashboard.Handlers.
func (s *Server) CreatePortalDocumentation(r *request) dashboard.CreatePortalDocumentationReply {
	return replyCreated(s, r, dashboard.CreatePortalDocumentationReplies{}, portalDocumentation)
}

// GetPortalDocumentation implements dashboard.Handlers.
func (s *Server) GetPortalDocumentation(
	r *request, documentationID dashboard.DocumentationID,
) dashboard.GetPortalDocumentationReply {
	return replyObject(s, r, dashboard.GetPortalDocumentationReplies{}, portalDocumentation.at(documentationID))
}

// DeletePortalDocumentation implements dashboard.Handlers.
func (s *Server) DeletePortalDocumentation(
	r *request, documentationID dashboard.DocumentationID,
) dashboard.DeletePortalDocumentationReply {
	err := s.deleteObject(r, portalDocumentation.at(documentationID))
	return replyDeleted(dashboard.DeletePortalDocumentationReplies{}, err)
}
