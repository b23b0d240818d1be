// What the contract says of a request to an operation, in terms of its method and path. contract.d.ts is generated.
import type { components, paths } from './contract';

export type Schemas = components['schemas'];

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends { [m in M]: { responses: unknown } } ? P : never;
}[keyof paths] & string;

type Operation<M extends Method, P extends keyof paths> = paths[P] extends { [m in M]: infer O } ? O : never;

/** Reply is the body of the response with status 200. */
export type Reply<M extends Method, P extends keyof paths> =
  Operation<M, P> extends { responses: { 200: { content: { 'application/json': infer R } } } } ? R : unknown;

export type Query<M extends Method, P extends keyof paths> =
  Operation<M, P> extends { parameters: { query?: infer Q } } ? Q : never;

export type Body<M extends Method, P extends keyof paths> =
  Operation<M, P> extends { requestBody?: { content: { 'application/json': infer B } } } ? B : unknown;

export interface Options<M extends Method, P extends keyof paths> {
  /** Values of the parameters in the path: {apiId: '…'}. */
  params?: Record<string, string>;
  query?: Query<M, P>;
  /** The body. A string, a Blob and a FormData are sent as they are, with the header Content-Type that headers name. */
  body?: Body<M, P> | string | Blob | FormData;
  headers?: Record<string, string>;
  /** An ETag: the request is refused if the object has changed since. */
  ifMatch?: string;
  signal?: AbortSignal;
  /** Return the body as the text that the server sent: documents must not be parsed and written again. */
  raw?: boolean;
  /** Without a session, fail with a status of 401 and do not ask for one. */
  anonymous?: boolean;
}
