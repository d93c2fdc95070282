/** Stands for the server in tests of components: a test says what it answers. */
export const server: { answer: (request: Request) => Promise<Response> } = {
  answer: async () => new Response(null, { status: 404 }),
}

const Native = globalThis.Request

/** Takes the place of the browser's requests, whose addresses begin at the page's own server. */
export function install() {
  globalThis.Request = class extends Native {
    constructor(input: RequestInfo | URL, init?: RequestInit) {
      super(typeof input === 'string' ? new URL(input, 'http://pgkeep.test') : input, init)
    }
  }
  globalThis.fetch = async (input, init) => server.answer(new Request(input, init))
}
