// Creates an organisation and a user, imports an API, lists it as that user, and deletes everything again. README.md says
// how to run it.
//
// The compiler checks paths, parameters, bodies and responses against the contract: their types are in gatehouse.d.ts,
// which `npm run generate` writes.
import createClient, { type FetchResponse } from "openapi-fetch";
import type { components, paths } from "./gatehouse.js";

const url = process.env["GATEHOUSE"] ?? "http://127.0.0.1:3000";
const secret = process.env["ADMIN"];
if (!secret) {
	throw new Error("set ADMIN to the admin secret");
}

/** The operations below /admin. A redirection is not followed, because it would take the secret along. */
const admin = createClient<paths>({ baseUrl: url, headers: { "Admin-Auth": secret }, redirect: "manual" });

/** Returns the operations below /api, as the user with an access key. */
function dashboardOf(key: string) {
	return createClient<paths>({ baseUrl: url, headers: { Authorization: key }, redirect: "manual" });
}

/** Returns the body of a response of success, and throws any other response. */
async function bodyOf<T extends Record<string | number, any>, O, M extends `${string}/${string}`>(
	call: Promise<FetchResponse<T, O, M>>,
): Promise<NonNullable<FetchResponse<T, O, M>["data"]>> {
	const { data, error, response } = await call;
	if (data === undefined || data === null) {
		throw new Error(`${response.url}: ${response.status} ${JSON.stringify(error)}`);
	}
	return data;
}

const created = await bodyOf(admin.POST("/admin/organisations", { body: { owner_name: "Rivermouth Foods" } }));
const organisation: string = created.Meta;
console.log("created an organisation");

const user = await bodyOf(
	admin.POST("/admin/users", {
		body: {
			org_id: organisation,
			email_address: "ines@rivermouth.example",
			first_name: "Ines",
			active: true,
		} satisfies components["schemas"]["UserRequest"], // without it, openapi-fetch accepts misspelt properties
	}),
);
const profile: components["schemas"]["User"] = user.Meta;
console.log(`created the user ${profile.first_name}`);

const imported = await bodyOf(
	admin.POST("/admin/apis/import", {
		body: {
			apis: [
				{
					// An api_id is unique: with the organisation's ID in it, this works again after a run that was interrupted.
					api_definition: { api_id: `orders-${organisation}`, name: "Orders", org_id: organisation, active: true },
				},
			],
		},
	}),
);
console.log(`imported: ${imported.Message}`);

const listed = await bodyOf(dashboardOf(user.Message).GET("/api/apis", { params: { query: { p: 1 } } }));
for (const api of listed.apis ?? []) {
	console.log(`the user sees the API ${api.api_definition?.name}`);
}

const absent = await admin.GET("/admin/organisations/{orgID}", { params: { path: { orgID: "unknown" } } });
console.log(`an unknown organisation is a ${absent.response.status}: ${absent.error?.Message}`);

await bodyOf(admin.DELETE("/admin/organisations/{orgID}", { params: { path: { orgID: organisation } } }));
console.log("deleted the organisation");
