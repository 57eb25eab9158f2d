SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.migrations (
    number integer NOT NULL,
    at timestamp with time zone DEFAULT now()
);
CREATE TABLE public.reloads (
    id bigint NOT NULL,
    server bigint NOT NULL,
    model text NOT NULL,
    state text NOT NULL,
    is_open boolean NOT NULL,
    is_joinable boolean NOT NULL,
    may_fade boolean NOT NULL,
    asked_at double precision NOT NULL,
    due double precision NOT NULL,
    last_at double precision,
    body json NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    owner uuid,
    has_news boolean DEFAULT false NOT NULL
);
COMMENT ON COLUMN public.reloads.body IS 'the reload, whole; the columns before it repeat what is searched for';
COMMENT ON COLUMN public.reloads.owner IS 'the replica''s life that looks after it while it is open';
COMMENT ON COLUMN public.reloads.has_news IS 'another replica has changed who asked';
CREATE TABLE public.replicas (
    id uuid NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    lease_until timestamp with time zone NOT NULL
);
CREATE TABLE public.rows (
    kind text NOT NULL,
    server bigint NOT NULL,
    name text NOT NULL,
    value json NOT NULL
);
COMMENT ON TABLE public.rows IS 'keys (sealed), settings and watches of servers; named values of server 0';
INSERT INTO public.migrations VALUES (1, '2026-11-29 19:28:10.909972+00');
INSERT INTO public.migrations VALUES (2, '2026-11-29 19:28:10.909972+00');
INSERT INTO public.reloads VALUES (300000000000000010, 200000000000000001, 'anything-v3', 'ended', false, false, false, 1794438280, 1794438400, 1794438460, '{"id":300000000000000010,"server":200000000000000001,"model":"anything-v3","askers":[{"user":220000000000000002,"channel":0,"token":""}],"asked_at":1794438280.0,"seconds":120.0,"state":"ended","message":null,"not_before":null,"waits":0,"called_at":1794438280.0,"deadline":1794438400.0,"outcome":"accepted","said":"","again_at":null,"ended_at":1794438400.0,"late":false,"ref":"","pings":[],"pinged":[],"muted":[],"test":{"by":{"user":220000000000000003,"channel":0,"token":""},"at":1794438460.0,"spoiler":true,"job":"","called":true,"picture":"","outcome":"rendered","said":"","shown":true},"confirmed_at":1794438460.0,"locale":"de"}', 0, NULL, false);
INSERT INTO public.reloads VALUES (300000000000000011, 200000000000000001, 'no-such-model', 'ended', false, false, false, 1794827200, 1794827200, 1794827201, '{"id":300000000000000011,"server":200000000000000001,"model":"no-such-model","askers":[{"user":220000000000000003,"channel":0,"token":""}],"asked_at":1794827200.0,"seconds":120.0,"state":"ended","message":null,"not_before":null,"waits":0,"called_at":1794827200.0,"deadline":null,"outcome":"unknown_model","said":"Model not found","again_at":null,"ended_at":1794827201.0,"late":false,"ref":"","pings":[],"pinged":[],"muted":[],"test":null,"confirmed_at":null,"locale":"de"}', 0, NULL, false);
INSERT INTO public.reloads VALUES (300000000000000012, 200000000000000001, 'sdxl-turbo', 'ended', false, false, true, 1794996400, 1794996520, 1794996520, '{"id":300000000000000012,"server":200000000000000001,"model":"sdxl-turbo","askers":[{"user":220000000000000002,"channel":210000000000000001,"token":"token-12"}],"asked_at":1794996400.0,"seconds":120.0,"state":"ended","message":300000000000000021,"not_before":null,"waits":0,"called_at":1794996400.0,"deadline":1794996520.0,"outcome":"accepted","said":"","again_at":null,"ended_at":1794996520.0,"late":false,"ref":"","pings":[{"channel":210000000000000001,"users":[220000000000000002]}],"pinged":[0],"muted":[],"test":null,"confirmed_at":null,"locale":"de"}', 0, NULL, false);
INSERT INTO public.reloads VALUES (300000000000000013, 200000000000000001, 'slow-one', 'ended', false, false, true, 1794998200, 1794998200, 1794998201, '{"id":300000000000000013,"server":200000000000000001,"model":"slow-one","askers":[{"user":220000000000000003,"channel":210000000000000001,"token":"token-13"}],"asked_at":1794998200.0,"seconds":120.0,"state":"ended","message":300000000000000022,"not_before":null,"waits":0,"called_at":1794998200.0,"deadline":null,"outcome":"slow_down","said":"Rate limit exceeded","again_at":1794999000.0,"ended_at":1794998201.0,"late":false,"ref":"","pings":[],"pinged":[],"muted":[],"test":null,"confirmed_at":null,"locale":"de"}', 0, NULL, false);
INSERT INTO public.reloads VALUES (300000000000000020, 200000000000000001, 'dreamshaper', 'counting', true, true, true, 1794999900, 1795000020, NULL, '{"id":300000000000000020,"server":200000000000000001,"model":"dreamshaper","askers":[{"user":220000000000000002,"channel":210000000000000001,"token":"token-20"},{"user":220000000000000003,"channel":210000000000000002,"token":"token-20b"}],"asked_at":1794999900.0,"seconds":120.0,"state":"counting","message":230000000000000020,"not_before":null,"waits":0,"called_at":1794999901.0,"deadline":1795000020.0,"outcome":null,"said":"","again_at":null,"ended_at":null,"late":false,"ref":"","pings":[],"pinged":[],"muted":[220000000000000001],"test":null,"confirmed_at":null,"locale":"de"}', 0, '11111111-2222-4333-8444-555555555555', false);
INSERT INTO public.replicas VALUES ('11111111-2222-4333-8444-555555555555', '2026-11-18 10:50:00+00', '2026-11-18 11:05:50+00');
INSERT INTO public.rows VALUES ('value', 0, 'encryption_check', '"AW1Nf2ZIKF4S/Ia/YRPlSmg+nIgRNgF2vRl+MREoARx66RzpAwRo7kl/Z9bPnz+KYtsRdfzSz8/gkcxUCrpiL49LhXrdx9XAWSHdQaJyG5fVDZndZU0n+kTKrldFY+SSow=="');
INSERT INTO public.rows VALUES ('key', 200000000000000001, '', '{"sealed":"AW1Nf2Z7M8jcTOEi5qNHZOpTXJALnePoKlOAZQyb4To603C2IuUnJloQAogcIOF65g/esIvqGjaEGQFZaaBbw94wBTs2dIZOL3iddepUDo9Y668uJyBFMKkpgTv1DjGSeA==","by":220000000000000001,"by_name":"mod","at":1791544000.0}');
INSERT INTO public.rows VALUES ('key', 200000000000000002, '', '{"sealed":"AW1Nf2bnMx+zPkOZZZfi2vl75TJaGL6J2LacTGXMH2/XxjHswhC5iBrZpKkwCBPXx4Wpyd5rjodKK7G4C3JRxTQGUj8gdZqfyjgmsNdnLT0XU/T/FVehAeKPJvog/a6lIg==","by":220000000000000001,"by_name":"mod","at":1794740800.0}');
INSERT INTO public.rows VALUES ('settings', 200000000000000001, '', '{"quiet":true,"language":"de","ledger_channel":210000000000000002}');
INSERT INTO public.rows VALUES ('watch', 200000000000000001, 'anything-v3', '{"server":200000000000000001,"model":"anything-v3","by":220000000000000002,"channel":210000000000000001,"used_at":1794438400.0,"said_of":1794438400.0,"said_cold":false,"message":230000000000000009,"place":210000000000000002}');
INSERT INTO public.rows VALUES ('watch', 200000000000000001, 'sdxl-turbo', '{"server":200000000000000001,"model":"sdxl-turbo","by":220000000000000003,"channel":210000000000000002,"used_at":null,"said_of":null,"said_cold":false,"message":null,"place":null}');
INSERT INTO public.rows VALUES ('value', 0, 'missing_servers', '{"200000000000000002":1794996400.0}');
INSERT INTO public.rows VALUES ('value', 0, 'commands:240000000000000001', '{"digest":"0000000000000000000000000000000000000000000000000000000000000000","ids":{"reload":240000000000000010}}');
ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.reloads
    ADD CONSTRAINT reloads_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.replicas
    ADD CONSTRAINT replicas_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.rows
    ADD CONSTRAINT rows_pkey PRIMARY KEY (kind, server, name);
CREATE INDEX reloads_ended ON public.reloads USING btree (last_at) WHERE (last_at IS NOT NULL);
CREATE INDEX reloads_fading ON public.reloads USING btree (last_at) WHERE may_fade;
CREATE UNIQUE INDEX reloads_joinable ON public.reloads USING btree (server, model) WHERE is_joinable;
CREATE INDEX reloads_news ON public.reloads USING btree (owner) WHERE has_news;
CREATE INDEX reloads_of_server ON public.reloads USING btree (server, asked_at);
CREATE INDEX reloads_open ON public.reloads USING btree (owner) WHERE is_open;
CREATE INDEX rows_of_server ON public.rows USING btree (server);
