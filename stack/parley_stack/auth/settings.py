"""The ``[auth]`` section of a project's ``supabase/config.toml``.

Field names are the file's keys and defaults are the Supabase CLI's, so a project's file is read
unchanged. Every key the CLI knows is typed here, whether or not this server acts on it; any other
key is an error, because a misspelt setting must not be silently ignored. ``env(NAME)`` values are
resolved by the loader before they come here.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from .durations import Duration

Secret = Annotated[str, Field(repr=False)]
"""A value that must not show when settings are printed."""

MAX_JWT_EXPIRY_SECONDS = 604_800


class Section(BaseModel):
    """A table of the file: immutable, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Switch(Section):
    """A table that only turns something on."""

    enabled: bool = False


class EmailTemplate(Section):
    """A mail's subject and the HTML file with its body, relative to the project folder."""

    subject: str | None = None
    content: str | None = None
    content_path: str = ""


class EmailNotification(EmailTemplate):
    """A mail about something that already happened, such as a changed password."""

    enabled: bool = False


class Smtp(Section):
    """Where mail goes. The local stack keeps mail to itself and never connects."""

    enabled: bool = True
    host: str = ""
    port: NonNegativeInt = 0
    user: str = ""
    # The key is Python's reserved word.
    password: Secret = Field(default="", alias="pass")
    admin_email: str = ""
    sender_name: str = ""


class Email(Section):
    """``[auth.email]``. ``enable_signup`` is the older name of ``enabled``, which wins."""

    enabled: bool | None = None
    enable_signup: bool = True
    double_confirm_changes: bool = True
    enable_confirmations: bool = False
    secure_password_change: bool = False
    require_current_password: bool = False
    max_frequency: Duration = timedelta(seconds=1)
    otp_length: int = Field(default=6, ge=6, le=10)
    otp_expiry: NonNegativeInt = 3600
    template: dict[str, EmailTemplate] = Field(default_factory=dict)
    notification: dict[str, EmailNotification] = Field(default_factory=dict)
    smtp: Smtp | None = None


class Twilio(Switch):
    account_sid: str = ""
    message_service_sid: str = ""
    content_sid: str = ""
    auth_token: Secret = ""


class Messagebird(Switch):
    originator: str = ""
    access_key: Secret = ""


class Textlocal(Switch):
    sender: str = ""
    api_key: Secret = ""


class Vonage(Switch):
    # The key is `from`, Python's reserved word.
    sender: str = Field(default="", alias="from")
    api_key: str = ""
    api_secret: Secret = ""


class Sms(Section):
    """``[auth.sms]``. ``enable_signup`` is the older name of ``enabled``, which wins."""

    enabled: bool | None = None
    enable_signup: bool = False
    enable_confirmations: bool = False
    template: str = "Your code is {{ .Code }}"
    max_frequency: Duration = timedelta(seconds=5)
    otp_length: int = Field(default=6, ge=6, le=10)
    otp_expiry: NonNegativeInt = 60
    test_otp: dict[str, str] = Field(default_factory=dict, repr=False)
    twilio: Twilio = Twilio()
    twilio_verify: Twilio = Twilio()
    messagebird: Messagebird = Messagebird()
    textlocal: Textlocal = Textlocal()
    vonage: Vonage = Vonage()


class Sessions(Section):
    """``[auth.sessions]``; zero means no limit."""

    timebox: Duration = timedelta()
    inactivity_timeout: Duration = timedelta()


class RateLimit(Section):
    """``[auth.rate_limit]``: mails and messages an hour, the others per five minutes."""

    email_sent: NonNegativeInt = 2
    sms_sent: NonNegativeInt = 30
    anonymous_users: NonNegativeInt = 30
    token_refresh: NonNegativeInt = 150
    sign_in_sign_ups: NonNegativeInt = 30
    token_verifications: NonNegativeInt = 30
    web3: NonNegativeInt = 30


class Hook(Switch):
    """A function that Auth calls; ``uri`` is ``pg-functions://<database>/<schema>/<name>``."""

    uri: str = ""
    secrets: Secret = ""


class Hooks(Section):
    """``[auth.hook]``"""

    before_user_created: Hook | None = None
    custom_access_token: Hook | None = None
    mfa_verification_attempt: Hook | None = None
    password_verification_attempt: Hook | None = None
    send_email: Hook | None = None
    send_sms: Hook | None = None


class Factor(Section):
    enroll_enabled: bool = False
    verify_enabled: bool = False


class PhoneFactor(Factor):
    otp_length: int = Field(default=6, ge=6, le=10)
    template: str = "Your code is {{ .Code }}"
    max_frequency: Duration = timedelta(seconds=5)


class Mfa(Section):
    """``[auth.mfa]``"""

    max_enrolled_factors: NonNegativeInt = 10
    totp: Factor = Factor()
    phone: PhoneFactor = PhoneFactor()
    web_authn: Factor = Factor()


class Provider(Switch):
    """An OAuth provider, ``[auth.external.<name>]``."""

    client_id: str = ""
    secret: Secret = ""
    url: str = ""
    redirect_uri: str = ""
    skip_nonce_check: bool = False
    email_optional: bool = False


class Captcha(Switch):
    provider: Literal["hcaptcha", "turnstile"] = "hcaptcha"
    secret: Secret = ""


class OAuthServer(Switch):
    authorization_url_path: str = "/oauth/consent"
    allow_dynamic_registration: bool = False


class Web3(Section):
    solana: Switch = Switch()
    ethereum: Switch = Switch()


class Firebase(Switch):
    project_id: str = ""


class Auth0(Switch):
    tenant: str = ""
    tenant_region: str = ""


class AwsCognito(Switch):
    user_pool_id: str = ""
    user_pool_region: str = ""


class Clerk(Switch):
    domain: str = ""


class WorkOs(Switch):
    issuer_url: str = ""


class ThirdParty(Section):
    """``[auth.third_party]``: other issuers whose tokens a project accepts."""

    firebase: Firebase = Firebase()
    auth0: Auth0 = Auth0()
    aws_cognito: AwsCognito = AwsCognito()
    clerk: Clerk = Clerk()
    workos: WorkOs = WorkOs()


class Webauthn(Section):
    rp_display_name: str = ""
    rp_id: str = ""
    rp_origins: tuple[str, ...] = ()


class AuthSettings(Section):
    """``[auth]``; the empty keys and secrets mean "use the stack's own"."""

    enabled: bool = True
    site_url: str = "http://127.0.0.1:3000"
    external_url: str = ""
    additional_redirect_urls: tuple[str, ...] = ("https://127.0.0.1:3000",)
    jwt_expiry: int = Field(default=3600, gt=0, le=MAX_JWT_EXPIRY_SECONDS)
    jwt_issuer: str = ""
    jwt_secret: Secret = ""
    publishable_key: Secret = ""
    secret_key: Secret = ""
    anon_key: Secret = ""
    service_role_key: Secret = ""
    signing_keys_path: str = ""
    enable_refresh_token_rotation: bool = True
    refresh_token_reuse_interval: NonNegativeInt = 10
    enable_signup: bool = True
    enable_anonymous_sign_ins: bool = False
    enable_manual_linking: bool = False
    minimum_password_length: NonNegativeInt = 6
    password_requirements: Literal[
        "", "letters_digits", "lower_upper_letters_digits", "lower_upper_letters_digits_symbols"
    ] = ""
    passkey: Switch | None = None
    webauthn: Webauthn | None = None
    rate_limit: RateLimit = RateLimit()
    captcha: Captcha | None = None
    email: Email = Email()
    sms: Sms = Sms()
    sessions: Sessions = Sessions()
    hook: Hooks = Hooks()
    mfa: Mfa = Mfa()
    external: dict[str, Provider] = Field(default_factory=dict)
    web3: Web3 = Web3()
    third_party: ThirdParty = ThirdParty()
    oauth_server: OAuthServer = OAuthServer()
