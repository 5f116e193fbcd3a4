// A server as browsers' service workers have it.
addEventListener("fetch", (event) => {
  const { pathname } = new URL(event.request.url);
  event.respondWith(new Response(`JavaScript answers ${pathname}\n`));
});
